"""Which names collections and vectors may have: the rules of a Qdrant server, whose folders they become."""

from __future__ import annotations

from hydrant.errors import InputError

FORBIDDEN = frozenset('<>:"/\\|?*\0\x1f')
MAX_COLLECTION = 255
MAX_VECTOR_BYTES = 200
MAX_SIZE = 65_536


def check_collection_name(name: str) -> None:
    """Refuse a name that a new collection cannot have.

    Raises:
        InputError: Empty, too long, or with a character that folder names lack.
    """
    if name in {"", ".", ".."}:
        message = f"Collection name cannot be {name!r}"
        raise InputError(message)
    if len(name) > MAX_COLLECTION:
        message = f"Collection name must be at most {MAX_COLLECTION} characters long; got {len(name)}"
        raise InputError(message)
    for char in name:
        if char in FORBIDDEN:
            message = f"Collection name cannot contain {char!r} char; got {name!r}"
            raise InputError(message)


def check_vector_name(name: str, kind: str) -> None:
    """Refuse a name that a new vector cannot have; the empty name is the unnamed dense vector.

    Raises:
        InputError: Too long, with a character that folder names lack, or empty for a sparse vector.
    """
    if name == "" and kind == "sparse":
        message = "Sparse vector name cannot be empty"
        raise InputError(message)
    if len(name.encode()) > MAX_VECTOR_BYTES:
        message = f"Invalid {kind} vector name {name!r}: must be at most {MAX_VECTOR_BYTES} bytes long"
        raise InputError(message)
    for char in name:
        if char in FORBIDDEN:
            message = f"Invalid {kind} vector name {name!r}: cannot contain {char!r} char"
            raise InputError(message)
    if name in {".", ".."}:
        message = f"Invalid {kind} vector name {name!r}"
        raise InputError(message)


def check_vector_size(size: int) -> None:
    """Refuse a vector size that the engine cannot store.

    Raises:
        InputError: Not from 1 to 65,536.
    """
    if not 1 <= size <= MAX_SIZE:
        message = f"Vector size {size} is invalid. Must be from 1 to {MAX_SIZE}."
        raise InputError(message)

"""The ways into a collection: a vector, and the encoder that fills it and asks it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from hydrant.collection.profile import RECORD_KEY, Profile
from hydrant.encode.base import Encoder
from hydrant.encode.records import encoder_from_record
from hydrant.encode.shared import share
from hydrant.errors import ConfigurationError, EncoderMismatch

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Source:
    """One way into a collection.

    Attributes:
        name: What the source is called in requests, thresholds and scores: "dense", "sparse", "late", or any other.
        vector: The name of its vector in Qdrant; "" is the unnamed one.
        encoder: What turns text into that vector.
        learned_from: How many passages the encoder learned its average length from; 0 where it did not have to.
    """

    name: str
    vector: str
    encoder: Encoder
    learned_from: int = 0


@dataclass(frozen=True, slots=True)
class Record:
    """What Hydrant stores in a collection's metadata, so that it can be opened by name alone.

    Attributes:
        sources: By source, the vector's name and the encoder's record.
        payload: The record of the payload layout.
        tenant: The payload key that keeps tenants apart, or None.
        fields: The payload keys that were indexed, with their types.
    """

    sources: Mapping[str, Mapping[str, Any]]
    payload: Mapping[str, Any]
    tenant: str | None
    fields: Mapping[str, str]

    def metadata(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "format": _FORMAT,
            "sources": {name: dict(source) for name, source in self.sources.items()},
            "payload": dict(self.payload),
            "tenant": self.tenant,
            "fields": dict(self.fields),
        }

    @classmethod
    def read(cls, profile: Profile) -> Record | None:
        """What is stored with a collection; None where somebody else made it.

        Raises:
            ConfigurationError: It was written by a newer version, or is damaged.
        """
        stored: Any = profile.record
        if not stored:
            return None
        if not _is_record(stored):
            msg = (
                f"the record that Hydrant stored with collection {profile.name!r} is damaged: {stored!r}; without its "
                f"metadata key {RECORD_KEY!r} the collection can be opened as one that somebody else made"
            )
            raise ConfigurationError(msg)
        if stored["format"] > _FORMAT:
            msg = (
                f"collection {profile.name!r} was written by a newer Hydrant (format {stored['format']}, this one reads "
                f"up to {_FORMAT}); upgrade with pip install --upgrade hydrant-rag"
            )
            raise ConfigurationError(msg)
        return cls(stored["sources"], stored["payload"], stored.get("tenant"), stored.get("fields", {}))


def _is_record(stored: Any) -> bool:
    """Whether what is stored has the shape of a record; one of a newer format need only say so."""
    if not isinstance(stored, Mapping) or not isinstance(stored.get("format"), int):
        return False
    if stored["format"] > _FORMAT:
        return True
    sources, layout = stored.get("sources"), stored.get("payload")
    return (
        isinstance(sources, Mapping)
        and all(isinstance(each, Mapping) and {"vector", "encoder"} <= set(each) for each in sources.values())
        and isinstance(layout, Mapping)
        and "text" in layout
    )


def record_of(sources: Mapping[str, Source]) -> dict[str, dict[str, Any]]:
    """The sources as JSON."""
    return {
        name: {
            "vector": source.vector,
            "encoder": source.encoder.record(),
            "learned_from": source.learned_from,
        }
        for name, source in sources.items()
    }


def recorded_sources(
    profile: Profile, record: Record, given: Mapping[str, Encoder | None]
) -> dict[str, Source]:
    """The sources of a collection that Hydrant made.

    Args:
        profile: The collection as Qdrant describes it.
        record: What was stored with it.
        given: The caller's encoders by source; None where the stored record is to be used.

    Raises:
        EncoderMismatch: A given encoder is not the one that made the collection.
        UnknownVector: The collection lost a vector that the record names.
    """
    extra = {name for name, encoder in given.items() if encoder is not None} - set(record.sources)
    if extra:
        msg = f"collection {profile.name!r} has the sources {sorted(record.sources)}; got an encoder for {sorted(extra)}"
        raise EncoderMismatch(msg)
    sources = {}
    for name, stored in record.sources.items():
        encoder = given.get(name)
        try:
            own = (
                encoder_from_record(stored["encoder"])
                if encoder is None
                else encoder.adopt(stored["encoder"])
            )
        except EncoderMismatch as error:
            msg = f"source {name!r} of collection {profile.name!r}: {error}"
            raise EncoderMismatch(msg) from error
        vector = profile.find(own.kind, stored["vector"])
        sources[name] = Source(name, vector, own, stored.get("learned_from", 0))
    return sharing(sources)


def sharing(sources: Mapping[str, Source]) -> dict[str, Source]:
    """The same sources; where one's encoder works on another's vectors, a text goes through the model once for both."""
    shared = share({name: source.encoder for name, source in sources.items()})
    return {name: replace(source, encoder=shared[name]) for name, source in sources.items()}


def foreign_sources(
    profile: Profile, given: Mapping[str, Encoder | None], vectors: Mapping[str, str]
) -> dict[str, Source]:
    """The sources of a collection that somebody else made.

    Args:
        profile: The collection as Qdrant describes it.
        given: The caller's encoders by source.
        vectors: The names of their vectors, where a collection has several to choose from.

    Raises:
        UnknownVector: The collection has no such vector, or several and none was named.
        ConfigurationError: No encoder was given, or a vector was named for no encoder.
    """
    present = {name: encoder for name, encoder in given.items() if encoder is not None}
    idle = set(vectors) - set(present)
    if not present or idle:
        wanted = (
            f"an encoder for {sorted(idle)}"
            if idle
            else "at least one encoder (dense=..., sparse=..., late=... or sources={...})"
        )
        msg = (
            f"collection {profile.name!r} was not made by Hydrant, so it does not say how its vectors were made: "
            f"{wanted} is needed; it has {profile.vectors()}"
        )
        raise ConfigurationError(msg)
    return sharing(
        {
            name: Source(name, profile.find(encoder.kind, vectors.get(name)), encoder)
            for name, encoder in present.items()
        }
    )

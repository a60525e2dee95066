"""Bytes to text: which encoding a file is in, and whether it is text at all."""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hydrant.errors import UnreadableDocument

if TYPE_CHECKING:
    from charset_normalizer import CharsetMatch

# The longer marks come first: UTF-32's begins with UTF-16's.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# Control characters that text has no use for: C0 without backspace, tab, line ends, form feed and escape,
# then C1.
_CONTROLS = "".join(
    map(chr, [*range(8), 14, 15, *range(16, 27), *range(28, 32), *range(0x7F, 0x85), *range(0x86, 0xA0)])
)
_MOST_CONTROLS = 0.02
_MOST_LOST = 0.05
_SAMPLE = 1 << 20
# Encodings that files are found in; the rarer ones of charset-normalizer win too often on short texts.
_CANDIDATES = [
    *(f"cp{page}" for page in (437, 850, 866, 874, 932, 949, *range(1250, 1259))),
    *(f"iso8859_{part}" for part in (2, 5, 7, 9, 15)),
    *("koi8_r", "koi8_u", "mac_roman", "euc_jp", "gb18030", "big5"),
]
_WESTERN = frozenset(
    {"English", "French", "German", "Spanish", "Portuguese", "Italian", "Dutch", "Swedish", "Danish"}
    | {"Norwegian", "Finnish", "Catalan", "Unknown"}
)
_MOST_ACCENTED = 0.4
# What Western European text in Windows' code page has besides letters.
_WESTERN_SIGNS = frozenset("\xa0\xad€‚„…‘’“”•–—™¡£§©ª«®°²³´·º»¿")


@dataclass(frozen=True, slots=True)
class Decoded:
    """Text, and a note on how it was decoded where that was not plain UTF-8."""

    text: str
    notes: tuple[str, ...] = ()


def decode(data: bytes, *, declared: str | None = None) -> Decoded:
    """Turn a file's bytes into text.

    A byte order mark decides; then UTF-8; then UTF-16 without a mark, where the NULs lie as they do in it;
    then UTF-8 with a few broken bytes; then the encoding that the file declares; then what charset-normalizer
    finds, with Windows' Western code page preferred where it fits.

    Args:
        data: All of the file's bytes.
        declared: What the file itself says its encoding is, as web pages do; it need not be true.

    Returns:
        The text, a byte order mark left out, and what there is to say about it.

    Raises:
        UnreadableDocument: The bytes are no text, or are in no encoding that could be told; the message gives the
            offset of the first byte that is not UTF-8.
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return _refuse_binary(_marked(data[len(mark) :], encoding))
    try:
        return _refuse_binary(_utf16_unmarked(data) or Decoded(data.decode("utf-8")))
    except UnicodeDecodeError as error:
        return _refuse_binary(
            _mostly_utf8(data) or _as_declared(data, declared) or _guessed(data, error.start)
        )


def _marked(data: bytes, encoding: str) -> Decoded:
    """Text after a byte order mark, bad bytes replaced: the mark says what it is."""
    text = data.decode(encoding, "replace")
    notes = () if encoding == "utf-8" else (f"decoded as {encoding}",)
    return _with_losses(text, notes)


def _with_losses(text: str, notes: tuple[str, ...]) -> Decoded:
    lost = text.count("\ufffd")
    return Decoded(text, (*notes, f"{lost} characters could not be decoded (U+FFFD)") if lost else notes)


def _utf16_unmarked(data: bytes) -> Decoded | None:
    """UTF-16 without a mark: half of its bytes are NUL as far as the script is Latin, all on one side."""
    sample = data[:_SAMPLE]
    if len(data) % 2 or b"\0" not in sample:
        return None
    low, high = sample[::2].count(0), sample[1::2].count(0)
    few, many = sorted((low, high))
    if many < len(sample) * 0.2 or few > many * 0.05:
        return None
    encoding = "utf-16-le" if high > low else "utf-16-be"
    try:
        return Decoded(data.decode(encoding), (f"decoded as {encoding}",))
    except UnicodeDecodeError:
        return None


def _mostly_utf8(data: bytes) -> Decoded | None:
    """UTF-8 with some broken bytes, where more characters beyond ASCII are whole than broken."""
    text = data.decode("utf-8", "replace")
    lost = text.count("\ufffd")
    whole = len(text.encode("ascii", "ignore"))
    beyond = len(text) - whole - lost
    return _with_losses(text, ("decoded as utf-8",)) if beyond > lost else None


def _as_declared(data: bytes, declared: str | None) -> Decoded | None:
    try:
        return None if declared is None else Decoded(data.decode(declared), (f"decoded as {declared}",))
    except (LookupError, ValueError):
        # No such encoding, or not this one after all.
        return None


def _guessed(data: bytes, first_bad: int) -> Decoded:
    """What the bytes look like, by their letters' frequencies."""
    if _share_of_controls(data[:_SAMPLE].decode("latin-1").translate(_C1_ARE_LETTERS)) > _MOST_CONTROLS:
        raise UnreadableDocument(_BINARY)
    encoding = _best_encoding(data)
    if encoding is None:
        message = (
            f"is neither UTF-8 (byte {data[first_bad]:#04x} at offset {first_bad} is not valid) nor in an encoding that "
            f"could be recognised; convert it to UTF-8"
        )
        raise UnreadableDocument(message)
    return _with_losses(data.decode(encoding, "replace"), (f"decoded as {encoding}",))


def _best_encoding(data: bytes) -> str | None:
    # A fifth of a second to import, and nearly every file is UTF-8.
    from charset_normalizer import from_bytes

    best = from_bytes(data[:_SAMPLE], cp_isolation=_CANDIDATES).best()
    if _is_western(data[:_SAMPLE]) and (best is None or _says_little(best)):
        return "cp1252"
    return None if best is None else best.encoding


def _says_little(match: CharsetMatch) -> bool:
    """Whether a guess gives no reason to prefer it to Windows-1252 for text that could be in that.

    In its neighbours, such as Windows-1250, Western text is as plausible to charset-normalizer; what tells them
    apart is a language that needs them.
    """
    return match.coherence == 0 or match.language in _WESTERN or "cp1252" in match.could_be_from_charset


def _is_western(data: bytes) -> bool:
    """Whether the bytes, read as Windows-1252, are mostly ASCII, the rest Western letters and signs."""
    text = data.decode("cp1252", "replace")
    beyond = [character for character in text if not character.isascii()]
    return len(beyond) <= _MOST_ACCENTED * len(text) and all(
        "À" <= character <= "ÿ" or character in "ŒœŠšŽžŸ" or character in _WESTERN_SIGNS
        for character in beyond
    )


_BINARY = (
    "looks binary: it holds control characters that text does not have; give it a suffix of its own format"
)
# Bytes 0x80 to 0x9F are letters or signs in most code pages: only below 0x20 do they tell binary from text.
_C1_ARE_LETTERS = dict.fromkeys(range(0x80, 0xA0), "a")


def _refuse_binary(decoded: Decoded) -> Decoded:
    text = decoded.text
    if _share_of_controls(text) > _MOST_CONTROLS or text.count("\ufffd") > _MOST_LOST * len(text):
        raise UnreadableDocument(_BINARY)
    return decoded


def _share_of_controls(text: str) -> float:
    return sum(map(text.count, _CONTROLS)) / len(text) if text else 0.0

"""What a model wrote, made fit to search with: cut, cleaned, or dropped with the reason."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from hydrant.expand.scripts import differ

_SPACE = re.compile(r"\s+")
_FENCE = re.compile(r"^```[\w-]*\n(.*?)\n?```$", re.DOTALL)
_LABEL = re.compile(
    r"^(?:\*\*)?(?:passage|answer|counter[ -]argument|hypothetical document|document)(?:\*\*)?\s*:(?:\*\*)?\s*",
    re.IGNORECASE,
)
# A line of its own, or up to a colon an announcement of what is asked for.
_PLEASANTRY = re.compile(
    r"^(?:(?:sure|certainly|of course|absolutely|here(?:['’]s| is| are))\b[^\n]{0,120}(?::|[.!])[ \t]*\n+"
    r"|(?:(?:sure|certainly|of course|absolutely)[,.!] )?here(?:['’]s| is) (?:a|an|the|my|your)\b[^\n:.]{0,40}"
    r"\b(?:passage|paragraph|answer|counter[ -]argument)\b[^\n:.]{0,60}:\s*)",
    re.IGNORECASE,
)
# In the languages with most speakers on the web; models mostly begin a refusal with the same few words.
_REFUSAL = re.compile(
    r"^(?:i(?:['’]?m| am) (?:(?:really |very |so )?sorry|afraid i|unable to|not able to)\b|sorry,|(?:i|my) apolog(?:i[sz]e|ies)\b"
    r"|(?:unfortunately,? )?i (?:cannot|can not|can['’]t|am unable|am not able|won['’]t|do not have|don['’]t have|must decline)\b"
    r"|as an? (?:ai|language|large language)\b"
    r"|(?:es )?tut mir leid\b|ich kann (?:diese|dir|ihnen|dabei|leider)\b|leider kann ich\b"
    r"|(?:je suis )?désolée?\b|je ne peux pas\b|lo siento\b|no puedo\b|mi dispiace\b|non posso\b|desculpe\b|não posso\b"
    r"|извините|к сожалению,? я|я не могу|很?抱歉|对不起|對不起|我(?:无法|無法|不能)|申し訳(?:ありません|ございません)|죄송)",
    re.IGNORECASE,
)
_DUPLICATE = "a duplicate"
# A refusal is short; a passage that begins with an apology may go on to be one.
_REFUSAL_LENGTH = 400
_REPEATS_WORDS = 40
_REPEATS_SHARE = 0.15
_LETTERS_SHARE = 0.3
_BULLET = re.compile(
    r"^\s*(?:[-*•–·]+|\(?\d{1,2}[.):]|[a-z][.)]|(?:step|query|question)\s*\d{1,2}\s*[:.)-])\s*", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Repaired:
    """The texts that are left, and why others are not."""

    texts: tuple[str, ...]
    dropped: tuple[str, ...] = ()

    @property
    def said(self) -> int:
        """How many answers there were to search with, counted as often as they were given."""
        return len(self.texts) + self.dropped.count(_DUPLICATE)


@dataclass(frozen=True, slots=True)
class Repair:
    """How texts are made fit.

    Attributes:
        most_characters: A longer text is cut, at a space.
        same_language: Whether a text in another script than the query's is dropped.
    """

    most_characters: int
    same_language: bool = True

    def __call__(self, texts: Sequence[str], query: str) -> Repaired:
        """The texts that can be searched with, each once.

        Args:
            texts: What the model wrote.
            query: What it was asked about.
        """
        kept: dict[str, str] = {}
        dropped = []
        for text in texts:
            clean = self._cleaned(text)
            key = _SPACE.sub(" ", clean).casefold()
            reason = self._fault(clean, query) or (_DUPLICATE if key in kept else None)
            if reason is None:
                kept[key] = clean
            else:
                dropped.append(reason)
        return Repaired(tuple(kept.values()), tuple(dropped))

    def _cleaned(self, text: str) -> str:
        # More than twice as much as is kept need not be looked at.
        text = text.replace("\x00", " ").strip()[: 2 * self.most_characters]
        fenced = _FENCE.match(text)
        text = fenced.group(1).strip() if fenced else text
        text = _LABEL.sub("", _PLEASANTRY.sub("", text)).strip().strip('"“”').strip()
        return cut(text, self.most_characters)

    def _fault(self, text: str, query: str) -> str | None:
        """Why the text cannot be searched with; the cheap reasons first."""
        if not text:
            return "an empty answer"
        faults = (
            ("an answer that is no text", _is_garbage(text)),
            ("a refusal", len(text) < _REFUSAL_LENGTH and _REFUSAL.match(text) is not None),
            ("an answer that repeats itself", _repeats(text)),
            ("an echo of the query", text.casefold() == query.strip().casefold()),
            ("an answer in another language", self.same_language and differ(text, query)),
        )
        return next((reason for reason, found in faults if found), None)


def cut(text: str, most: int) -> str:
    """The beginning of a text, to the last space that is in reach."""
    if len(text) <= most:
        return text
    head = text[:most]
    space = head.rfind(" ", most // 2)
    return (head if space < 0 else head[:space]).rstrip()


def lines(text: str) -> list[str]:
    """The entries of a list that a model wrote, one a line, without numbers and bullets."""
    entries = [_BULLET.sub("", line).strip().strip('"“”*').strip() for line in text.splitlines()]
    return [entry for entry in entries if entry and not entry.endswith(":")]


def _is_garbage(text: str) -> bool:
    letters = sum(map(str.isalpha, text))
    return letters < _LETTERS_SHARE * len(text) or "\ufffd" * 3 in text


def _repeats(text: str) -> bool:
    words = text.split()
    return len(words) >= _REPEATS_WORDS and len({word.casefold() for word in words}) < _REPEATS_SHARE * len(
        words
    )

"""Conditional requests: If-Match and If-None-Match (RFC 9110 section 13).

They guard writes against lost updates. Answers to GET carry ``Cache-Control: no-store`` and
``status``, which the ETag does not identify: there the conditions are not evaluated.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

from controller.rest.problem import FieldError, Problem, field_problem

PATTERN: Final = r'^(\*|(W/)?"[!#-~]*"(, *(W/)?"[!#-~]*")*)$'
"""What is understood, for schemas; spaces and empty places in a list are, too."""

Tags = Literal["*"] | frozenset[str]
"""Any representation, or the opaque tags (without quotes) one of which is meant."""

# entity-tag = [ W/ ] DQUOTE *etagc DQUOTE (RFC 9110 section 8.8.3); WSGI passes bytes as Latin-1.
_TAG: Final = re.compile(r'[ \t]*(?:(?P<weak>W/)?"(?P<tag>[\x21\x23-\x7e\x80-\xff]*)")?[ \t]*')


def etag(revision: int) -> str:
    """The strong entity tag of a revision: ``"7"``, quotes included."""
    return f'"{revision}"'


@dataclass(frozen=True, slots=True)
class Preconditions:
    """What must hold for a write to take place; None: no condition."""

    if_match: Tags | None = None
    if_none_match: Tags | None = None

    def check(self, revision: int | None) -> None:
        """Raises the ``precondition`` problem (412) unless all holds.

        ``revision`` is that of the resource as configured; None: there is none.
        """
        tag = None if revision is None else str(revision)
        now = "it is not configured" if tag is None else f'its ETag is "{tag}" now'
        if self.if_match is not None and not _among(tag, self.if_match):
            raise Problem("precondition", f"If-Match does not hold: {now}.")
        if self.if_none_match is not None and _among(tag, self.if_none_match):
            raise Problem("precondition", f"If-None-Match does not hold: {now}.")


def parse(if_match: str | None, if_none_match: str | None) -> Preconditions:
    """From the headers' values. Raises the ``malformed`` problem (400)."""
    return Preconditions(
        None if if_match is None else _tags("If-Match", if_match, weak=False),
        None if if_none_match is None else _tags("If-None-Match", if_none_match, weak=True),
    )


def _among(tag: str | None, tags: Tags) -> bool:
    return tag is not None and (tags == "*" or tag in tags)


def _tags(header: str, text: str, *, weak: bool) -> Tags:
    """The tags of a list. ``weak``: whether weak ones take part in the comparison.

    If-Match compares strongly (RFC 9110 section 13.1.1): what is weak never matches there.
    """
    if text.strip(" \t") == "*":
        return "*"
    found, place = [], 0
    while True:  # by hand: a comma may be part of a tag
        part = _TAG.match(text, place)
        assert part  # every piece of it is optional
        if part["tag"] is not None:
            found.append(part)
        place = part.end()
        if place == len(text):
            break
        if text[place] != ",":
            raise _malformed(header)
        place += 1
    if not found:
        raise _malformed(header)
    return frozenset(part["tag"] for part in found if weak or not part["weak"])


def _malformed(header: str) -> Problem:
    sentence = 'an ETag in double quotes is expected, such as "7", or a list of them, or *'
    return field_problem("malformed", [FieldError(sentence, parameter=header)])

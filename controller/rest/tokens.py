"""Bearer tokens (RFC 6750): the file that lists them, and who presents one.

The file has a line per token: ``NAME ROLE SHA256``, where SHA256 is the hash of the token as 64
hex digits. A token has 256 random bits, so a plain hash is enough: there is nothing to guess.
"""

from __future__ import annotations

import enum
import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final


class Role(enum.IntEnum):
    """What a token allows; each role includes those before it."""

    VIEWER = 1
    """Reads."""
    OPERATOR = 2
    """Writes networks, attachments and endpoints."""
    ADMIN = 3
    """Writes everything."""

    @property
    def word(self) -> str:
        return self.name.lower()


_ROLES: Final = {role.word: role for role in Role}
_NAME: Final = re.compile(r"[\w.@-]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Token:
    """A token that is known; only its hash is."""

    name: str
    role: Role
    digest: bytes


class TokenFileError(ValueError):
    """A token file that cannot be used; ``problems`` are all of its (line, sentence)."""

    def __init__(self, problems: Iterable[tuple[int, str]]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(f"line {line}: {said}" for line, said in self.problems))


def parse_tokens(text: str) -> tuple[Token, ...]:
    """The tokens of a file. Raises :class:`TokenFileError` with everything that is wrong."""
    tokens: list[Token] = []
    problems: list[tuple[int, str]] = []
    names: dict[str, int] = {}
    digests: dict[bytes, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        # Never quoted: a token itself may stand there by mistake.
        wrong = []
        match line.split():
            case [name, role, digest]:
                if not _NAME.fullmatch(name):
                    wrong.append("a name has 1 to 64 letters, digits or any of . _ - @")
                if role not in _ROLES:
                    wrong.append(f"a role is one of {', '.join(_ROLES)}")
                if not re.fullmatch("[0-9a-fA-F]{64}", digest):
                    wrong.append("the third word is the token's SHA-256, 64 hex digits")
                if name in names:
                    wrong.append(f"the name is that of line {names[name]}")
                names.setdefault(name, number)
                if not wrong:
                    token = Token(name, _ROLES[role], bytes.fromhex(digest))
                    if token.digest in digests:
                        wrong.append(f"the token is that of line {digests[token.digest]}")
                    digests.setdefault(token.digest, number)
                    tokens.append(token)
            case _:
                wrong.append("three words are expected: NAME ROLE SHA256")
        problems += [(number, sentence) for sentence in wrong]
    if not tokens and not problems:
        problems.append((1, "there is no token; nobody could do anything"))
    if problems:
        raise TokenFileError(problems)
    return tuple(tokens)


def new_token(name: str, role: Role) -> tuple[str, str]:
    """A fresh token, and the line for the file. Raises ValueError for an impossible name."""
    token = f"weft_{secrets.token_urlsafe(32)}"
    line = f"{name} {role.word} {_digest(token).hex()}"
    parse_tokens(line)
    return token, line


def find(tokens: Iterable[Token], presented: str) -> Token | None:
    """Whose token this is. Takes as long whether it is right, nearly right or wrong."""
    digest = _digest(presented)
    found = None
    for token in tokens:
        if hmac.compare_digest(token.digest, digest):
            found = token
    return found


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="surrogatepass")).digest()

"""Where the controller is and how to prove who asks: flags, then environment, then a file."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from controller.cli.errors import Usage

DEFAULT_URL: Final = "http://127.0.0.1:8080"

_KEYS: Final[dict[str, type]] = {
    "url": str,
    "token": str,
    "token_file": str,
    "ca_file": str,
    "verify": bool,
}


@dataclass(frozen=True, slots=True)
class Settings:
    """What a request needs; the ``*_from`` members say where it was found, for messages."""

    url: str = DEFAULT_URL
    """Without a slash at its end, and without ``/v1``."""
    url_from: str = "the default"
    token: str | None = None
    token_from: str = ""
    verify: bool | str = True
    """Of TLS certificates: no, yes by the system's authorities, or by those of this file."""


def config_path(environment: Mapping[str, str]) -> Path:
    """The user's configuration file, by the XDG base directory specification."""
    base = environment.get("XDG_CONFIG_HOME", "")
    # The specification has relative paths ignored.
    root = Path(base) if os.path.isabs(base) else Path(environment.get("HOME") or "~").expanduser()
    return (root if os.path.isabs(base) else root / ".config") / "weft" / "config.toml"


def resolve(flags: Mapping[str, Any], environment: Mapping[str, str]) -> Settings:
    """The settings by ``flags`` (``url``, ``token``, ``token_file``, ``ca_file``, ``insecure``;
    None: not given), else ``environment``, else the file.

    Raises Usage for what cannot be read or makes no sense.
    """
    path = config_path(environment)
    file = _read(path)
    named = str(path)
    layers: list[tuple[str, Mapping[str, Any]]] = [
        ("--{}", flags),
        ("WEFT_{}", {key: environment.get(f"WEFT_{key.upper()}") or None for key in _KEYS}),
        (named, file),
    ]
    url, url_from = _first(layers, "url") or (DEFAULT_URL, "the default")
    token, token_from = _token(layers)
    verify: bool | str = True
    if flags.get("insecure"):
        verify = False
    elif found := _first(layers, "ca_file"):
        verify = str(Path(found[0]).expanduser())
        if not os.path.isfile(verify):
            raise Usage(f"no such file: {found[0]}", hint=f"{found[1]} names the CA certificates")
    elif file.get("verify") is False:
        verify = False
    return Settings(_url(url, url_from), url_from, token, token_from, verify)


def _read(path: Path) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            values = tomllib.load(file)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise Usage(f"{path} cannot be read: {reason}", hint="correct or remove it") from None
    for key, value in values.items():
        if key not in _KEYS:
            raise Usage(f"{path}: unknown key '{key}'", hint=f"known are {', '.join(_KEYS)}")
        if not isinstance(value, _KEYS[key]):
            wanted = "true or false" if _KEYS[key] is bool else "text in quotes"
            raise Usage(f"{path}: '{key}' is not {wanted}")
    return values


def _first(layers: list[tuple[str, Mapping[str, Any]]], key: str) -> tuple[str, str] | None:
    for name, values in layers:
        if (value := values.get(key)) is not None:
            return str(value), _named(name, key)
    return None


def _named(layer: str, key: str) -> str:
    flag = layer.startswith("--")
    return layer.format(key.replace("_", "-") if flag else key.upper())


def _token(layers: list[tuple[str, Mapping[str, Any]]]) -> tuple[str | None, str]:
    for name, values in layers:
        token, path = values.get("token"), values.get("token_file")
        if token is not None and path is not None:
            both = f"{_named(name, 'token')} and {_named(name, 'token_file')}"
            raise Usage(f"both a token and a token file are given ({both})", hint="give one")
        if path is not None:
            return _token_in(str(path), _named(name, "token_file"))
        if token is not None:
            origin = _named(name, "token")
            return _checked(token.strip(), origin), origin
    return None, ""


def _token_in(path: str, origin: str) -> tuple[str, str]:
    try:
        text = Path(path).expanduser().read_text("utf-8").strip()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not text"
        raise Usage(f"the token file {path} ({origin}) cannot be read: {reason}") from None
    return _checked(text, f"{path} ({origin})"), f"{path} ({origin})"


def _checked(token: str, origin: str) -> str:
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise Usage(
            f"what {origin} gives is no token",
            hint="a token is one word, as 'weft token new' printed it",
        )
    return token


def _url(text: str, origin: str) -> str:
    url = text if "://" in text else f"http://{text}"
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # a port that is none, brackets that do not match
        good = False
    if not good or parts.query or parts.fragment or "@" in parts.netloc:
        raise Usage(
            f"'{text}' ({origin}) is not the URL of a controller",
            hint=f"such as {DEFAULT_URL} or https://weft.example.net",
        )
    return url.rstrip("/").removesuffix("/v1")

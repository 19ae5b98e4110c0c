"""Where URL and token come from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from controller.cli.errors import Usage
from controller.cli.settings import DEFAULT_URL, Settings, config_path, resolve


def with_file(tmp_path: Path, text: str) -> dict[str, str]:
    path = tmp_path / "weft" / "config.toml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return {"XDG_CONFIG_HOME": str(tmp_path)}


def test_nothing_given() -> None:
    assert resolve({}, {"HOME": "/nowhere"}) == Settings(DEFAULT_URL, "the default")


def test_flags_before_environment_before_file(tmp_path: Path) -> None:
    env = with_file(tmp_path, 'url = "http://file:1"\ntoken = "of-the-file"\n')
    name = str(tmp_path / "weft" / "config.toml")
    found = resolve({}, env)
    assert (found.url, found.url_from) == ("http://file:1", name)
    assert (found.token, found.token_from) == ("of-the-file", name)

    env |= {"WEFT_URL": "http://env:1", "WEFT_TOKEN": "of-env"}
    found = resolve({}, env)
    assert (found.url, found.url_from) == ("http://env:1", "WEFT_URL")
    assert (found.token, found.token_from) == ("of-env", "WEFT_TOKEN")

    found = resolve({"url": "http://flag:1", "token": "of-flag"}, env)
    assert (found.url, found.url_from) == ("http://flag:1", "--url")
    assert (found.token, found.token_from) == ("of-flag", "--token")


def test_a_token_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("weft_abc\n")
    found = resolve({"token_file": str(path)}, {"WEFT_TOKEN": "other"})
    assert (found.token, found.token_from) == ("weft_abc", f"{path} (--token-file)")
    assert resolve({}, {"WEFT_TOKEN_FILE": str(path)}).token == "weft_abc"


def test_certificates(tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    path.touch()
    env = with_file(tmp_path, "verify = false\n")
    assert resolve({}, env).verify is False
    assert resolve({"ca_file": str(path)}, env).verify == str(path)
    assert resolve({"insecure": True, "ca_file": str(path)}, env).verify is False
    assert resolve({}, {"WEFT_CA_FILE": str(path)}).verify == str(path)


def test_where_the_file_is() -> None:
    assert config_path({"HOME": "/h"}) == Path("/h/.config/weft/config.toml")
    assert config_path({"HOME": "/h", "XDG_CONFIG_HOME": "/x"}) == Path("/x/weft/config.toml")
    assert config_path({"HOME": "/h", "XDG_CONFIG_HOME": "x"}) == Path(
        "/h/.config/weft/config.toml"
    )


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("127.0.0.1:9", "http://127.0.0.1:9"),
        ("https://weft.example.net/", "https://weft.example.net"),
        ("https://proxy.example.net/weft/v1/", "https://proxy.example.net/weft"),
        ("http://[2001:db8::1]:8080", "http://[2001:db8::1]:8080"),
    ],
)
def test_urls_as_people_write_them(given: str, url: str) -> None:
    assert resolve({"url": given}, {}).url == url


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"url": "ftp://x"}, "'ftp://x' (--url) is not the URL"),
        ({"url": "http://x:99999"}, "is not the URL"),
        ({"url": "http://[x"}, "is not the URL"),
        ({"url": "http://user:secret@x"}, "is not the URL"),
        ({"token": "two words"}, "what --token gives is no token"),
        ({"token": ""}, "no token"),
        ({"token": "a", "token_file": "b"}, "--token and --token-file"),
        ({"token_file": "/nowhere/t"}, "cannot be read: No such file"),
        ({"ca_file": "/nowhere/ca"}, "no such file: /nowhere/ca"),
    ],
)
def test_what_makes_no_sense(flags: dict[str, Any], said: str) -> None:
    with pytest.raises(Usage) as caught:
        resolve(flags, {})
    assert said in caught.value.message


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("url = 3", "'url' is not text in quotes"),
        ("verify = 'no'", "'verify' is not true or false"),
        ("uri = 'x'", "unknown key 'uri'"),
        ("url", "cannot be read"),
    ],
)
def test_mistakes_in_the_file(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(Usage) as caught:
        resolve({}, with_file(tmp_path, text))
    assert said in caught.value.message

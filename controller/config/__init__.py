"""The configuration file: YAML text in, a :class:`~controller.model.Config` out.

Three steps (:mod:`~controller.config.tree`, :mod:`~controller.config.schema`,
:mod:`~controller.config.compare`), and everything that is wrong is reported together, each
with its place.
"""

from __future__ import annotations

import errno
import os
from typing import Final

from controller.config.compare import Comparison
from controller.config.schema import understand
from controller.config.tree import ConfigError, Place, Problem, Tree, end
from controller.model import Config

__all__ = ["ConfigError", "Problem", "load", "load_file"]

MAX_FILE: Final = 64 * 2**20
"""Bytes in a configuration file."""


def load_file(path: str | os.PathLike[str]) -> Config:
    """The configuration that a file says."""
    source = os.fspath(path)
    place, data = Place(1, 1), b""
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_FILE + 1)
        if len(data) > MAX_FILE:
            raise OSError(errno.EFBIG, f"larger than {MAX_FILE >> 20} MiB")
        text = data.decode()
    except UnicodeDecodeError as error:
        place = end(data[: error.start].decode())
        message = f"byte 0x{data[error.start]:02x} is not UTF-8: save the file as UTF-8"
    except (OSError, ValueError) as error:  # ValueError: the path holds a NUL
        reason = getattr(error, "strerror", None) or error
        message = f"cannot be read: {reason}; create the file or correct its path"
    else:
        return load(text, source)
    raise ConfigError([Problem(source, *place, "", message)])


def load(text: str, source: str) -> Config:
    """The configuration that a text says; ``source`` names it in problems."""
    tree = Tree(text.removeprefix("\ufeff"), source)
    file = understand(tree)
    config = file.config()
    Comparison(tree, file).run()
    if tree.problems:
        raise ConfigError(tree.problems)
    return config

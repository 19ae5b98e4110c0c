"""Resources as a store keeps them: documents as canonical JSON text, under keys as text."""

from __future__ import annotations

import json

from pydantic import ValidationError

from controller.resources import Key, Value, document, model_of, parse_key, understand


class NotUnderstood(ValueError):
    """A store holds what this version cannot read; the message names the key and says why."""


def written(key: Key, value: Value) -> str:
    """The document of a value: compact, its members sorted."""
    members = document(key, value).canonical()
    return json.dumps(members, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def read(text: str, document_text: str) -> tuple[Key, Value]:
    """The inverse. Raises NotUnderstood."""
    try:
        key = parse_key(text)
        if str(key) != text:
            raise ValueError(f"the key should be {key}")
        return key, understand(key, model_of(key).model_validate_json(document_text))
    except ValidationError as error:
        wrong = error.errors(include_url=False)[0]
        where = "/".join(map(str, wrong["loc"]))
        why = f"{where}: {wrong['msg']}" if where else str(wrong["msg"])
        raise NotUnderstood(_sentence(text, why)) from None
    except ValueError as error:
        raise NotUnderstood(_sentence(text, str(error))) from None


def _sentence(key: str, why: str) -> str:
    return f"the store's entry {key} is not understood by this version: {why}"

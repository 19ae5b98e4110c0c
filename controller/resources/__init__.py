"""Configuration as resources: keys, documents, and the values that they stand for."""

from controller.resources.documents import (
    AttachmentDocument,
    DefaultsDocument,
    Document,
    EndpointDocument,
    EndpointPin,
    NetworkDocument,
    SwitchDocument,
    model_of,
)
from controller.resources.keys import (
    AttachmentKey,
    DefaultsKey,
    EndpointKey,
    Key,
    NetworkKey,
    SwitchKey,
    parse_key,
)
from controller.resources.values import (
    DEFAULTS,
    Value,
    disassemble,
    document,
    documents,
    understand,
)

__all__ = [
    "DEFAULTS",
    "AttachmentDocument",
    "AttachmentKey",
    "DefaultsDocument",
    "DefaultsKey",
    "Document",
    "EndpointDocument",
    "EndpointKey",
    "EndpointPin",
    "Key",
    "NetworkDocument",
    "NetworkKey",
    "SwitchDocument",
    "SwitchKey",
    "Value",
    "disassemble",
    "document",
    "documents",
    "model_of",
    "parse_key",
    "understand",
]

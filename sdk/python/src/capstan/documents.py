"""Documents of the node, and running one inside of a step. Not for collectors."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from ._host import host


@dataclass(frozen=True)
class DocumentResult:
    """How a nested document ended: a status word of SSM (`Success`, `Failed`, …) and its exit code."""

    status: str
    exit_code: int


def get(name: str) -> str:
    """The text of a document, by name, `name:version` or ARN."""
    return host().get_document(str(name))


def run(name: str, parameters: dict[str, Any] | None = None, *, content: str | None = None) -> DocumentResult:
    """Runs a document inside of this step, under no more than this step's document was granted.

    The text is that of the node's document of this name, or `content`.
    """
    text = get(name) if content is None else content
    return DocumentResult(*host().run_document(str(name), text, json.dumps(parameters or {})))

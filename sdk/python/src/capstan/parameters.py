"""Parameter Store values that are not secret."""

from __future__ import annotations

from ._host import host


def get(name: str) -> str | list[str]:
    """A parameter by name, `name:version` or `name:label`. A string list is a list."""
    return host().parameter(str(name))

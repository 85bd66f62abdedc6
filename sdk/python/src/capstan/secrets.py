"""Secrets and secure parameters. Their values never reach an action.

`get` answers with a placeholder: text that is worthless by itself. Put it into a header or the body of a request, into
a program's environment or standard input, and the host puts the value in its place, as far as the secret is granted
to go there. A placeholder is good for one call of the action: ask anew after a wait.
"""

from __future__ import annotations

from dataclasses import dataclass

from ._host import host


@dataclass(frozen=True)
class Ref:
    """The value of a secret, by name: for `env` and `input` of a program."""

    name: str


def get(name: str) -> str:
    """A placeholder for a secret or secure parameter, by name, `name:version` or `name:label`."""
    return host().secret(str(name))

"""What goes wrong in an action, as exceptions.

Raise one of these to end a step with a clear failure; host calls raise them as well. Any other exception that an
action lets through becomes a failure of kind `failed` that names the exception and the line.
"""

from __future__ import annotations

from typing import Any


class Failure(Exception):
    """Ends the step as failed. `message` is one sentence: what went wrong and what to do."""

    kind = "failed"

    def __init__(self, message: str, *, detail: Any = None) -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail

    def __str__(self) -> str:
        return self.message


class Failed(Failure):
    """The work failed."""


class InvalidInput(Failure):
    """The inputs do not make sense. `key` names the input, if it is one."""

    kind = "invalid-input"

    def __init__(self, message: str, *, key: str | None = None, detail: Any = None) -> None:
        super().__init__(message, detail=detail if detail is not None else {"key": key} if key else None)
        self.key = key


class TimedOut(Failure, TimeoutError):
    """It took too long."""

    kind = "timed-out"


class Cancelled(Failure):
    """The operator asked the step to stop."""

    kind = "cancelled"


class Denied(Failure, PermissionError):
    """The grant does not hold what a call needs. Catch it to do without.

    `capability` is the kind (`files`, `programs`, `hosts`, …), `target` what was asked for as the host resolved it, and
    `hint` what a policy would have to grant.
    """

    kind = "denied"

    def __init__(self, capability: str, target: str, hint: str) -> None:
        super().__init__(f"{target} is not granted to this step ({capability}); a policy grants it with {hint}")
        self.detail = {"capability": capability, "target": target, "hint": hint}
        self.capability, self.target, self.hint = capability, target, hint


class NotFound(Failure, FileNotFoundError):
    """A file, parameter, secret or program does not exist."""


class LimitExceeded(Failure):
    """A limit of the step is used up; the message names it."""


class InvalidCall(Failure, ValueError):
    """The arguments of a host call are wrong: a mistake in the action, or a value of its inputs passed on as it was."""

    kind = "invalid-input"


class HostError(Failure, OSError):
    """The operating system or the network failed, or something that this version of the SDK does not know."""


class NotInHost(Failure, RuntimeError):
    """A host call was made by an ordinary Python process."""

"""The running step: its output, its progress, its log, its cancellation.

`print` works as everywhere; what it prints is the step's output. The `logging` module works as well: its records
go to the operator as log messages of the step.
"""

from __future__ import annotations

import json
import logging
from typing import Any

from ._host import host
from .errors import Cancelled

_LEVELS = ("trace", "debug", "info", "warn", "error")


def write(data: str | bytes, *, error: bool = False) -> None:
    """Appends to the step's standard output, or to its standard error, at once and unbuffered."""
    host().write("stderr" if error else "stdout", data.encode() if isinstance(data, str) else bytes(data))


def progress(done: int, total: int | None = None, note: str = "") -> None:
    """Tells how far the step is; `total` counts in the same unit as `done`."""
    host().progress(max(0, int(done)), None if total is None else max(0, int(total)), str(note))


def log(level: str, message: str, /, **fields: Any) -> None:
    """A message for the operator with fields of your own: `log("warn", "disk is full", path="/srv", free=0)`.

    Levels are trace, debug, info, warn and error.
    """
    if level not in _LEVELS:
        raise ValueError(f"`{level}` is no log level; there are {', '.join(_LEVELS)}")
    host().log(level, str(message), json.dumps(fields, default=str) if fields else None)


def cancelled() -> bool:
    """True once the operator asked the step to stop; it is ended after a short grace."""
    return host().cancelled()


def check_cancelled() -> None:
    """Raises `Cancelled` once the operator asked the step to stop: call it between pieces of long work."""
    if cancelled():
        raise Cancelled("the operator asked the step to stop")


class LogHandler(logging.Handler):
    """Hands records of `logging` to the operator. Components have it on the root logger."""

    def emit(self, record: logging.LogRecord) -> None:
        number = record.levelno
        level = _LEVELS[0 if number < 10 else 1 if number < 20 else 2 if number < 30 else 3 if number < 40 else 4]
        log(level, self.format(record), logger=record.name)

"""Where and for whom a step runs, and how a step ends or waits."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any, Sequence


@dataclass(frozen=True)
class Platform:
    """The machine: `kind` is `linux`, `macos` or `windows`; `name` and `version` are the system's own."""

    kind: str = "linux"
    name: str = ""
    version: str = ""
    architecture: str = "x86_64"


@dataclass(frozen=True)
class Context:
    """The running step.

    `attempt` counts from 1 and is more when an interrupted step runs again. `work_directory` is the step's own and is kept with the
    outputs, `downloads_directory` is shared by the steps of a run, `data_directory` outlives runs when it is requested.
    `deadline` is in seconds since 1970, as `time.time()`. `environment` is what the document adds to programs.
    """

    run_id: str = ""
    node_id: str = ""
    document: str = ""
    step: str = ""
    action: str = ""
    attempt: int = 1
    platform: Platform = field(default_factory=Platform)
    work_directory: str = ""
    downloads_directory: str = ""
    data_directory: str = ""
    deadline: float = 0.0
    environment: dict[str, str] = field(default_factory=dict)

    def remaining(self) -> float:
        """Seconds until the deadline."""
        return max(0.0, self.deadline - time.time())


@dataclass(frozen=True)
class Event:
    """Why an action goes on: `kind` is `timer`, `signal`, `rebooted` or another word; a signal has a name and perhaps a payload."""

    kind: str
    name: str | None = None
    payload: Any = None


@dataclass(frozen=True)
class Result:
    """How a step ended, where outputs alone do not say it: `status` is `success`, `failed`, `timed-out`, `cancelled`, `skipped` or
    another word."""

    outputs: Any = None
    status: str = "success"
    exit_code: int = 0


@dataclass(frozen=True)
class Suspension:
    """A wait; made by `suspend`."""

    state: Any
    at: float | None
    signals: tuple[str, ...]
    reboot: bool
    reason: str


def skipped(outputs: Any = None) -> Result:
    """There was nothing to do here."""
    return Result(outputs, status="skipped")


def suspend(
    state: Any = None,
    *,
    reason: str,
    after: float | timedelta | None = None,
    until: float | datetime | None = None,
    signal: str | Sequence[str] = (),
    reboot: bool = False,
) -> Suspension:
    """To be returned by an action that waits: nothing of it stays in memory, and its `resume` function is called with `state`
    when the time has come, the signal has arrived or the machine was restarted.

    `after` is from now, `until` a time in seconds since 1970 or a `datetime` with a time zone. `signal` is a name or several; with
    a time as well, whatever comes first. `state` is anything that can be written as JSON.
    """
    at: float | None = None
    if after is not None:
        at = time.time() + (after.total_seconds() if isinstance(after, timedelta) else after)
    elif isinstance(until, datetime):
        if until.tzinfo is None:
            raise ValueError("`until` needs a time zone: datetime.now(timezone.utc) + …")
        at = until.astimezone(timezone.utc).timestamp()
    elif until is not None:
        at = float(until)
    signals = (signal,) if isinstance(signal, str) else tuple(signal)
    if reboot and (at is not None or signals):
        raise ValueError("a restart of the machine is waited for alone")
    if not reboot and at is None and not signals:
        raise ValueError("say what to wait for: after, until, signal or reboot")
    return Suspension(state, at, signals, reboot, reason)

"""Programs, in the manner of `subprocess`. The first word of a command is not a path but the name of a `Program`
capability, which fixes the program's path and the shape of its arguments; there is no shell in between.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Mapping, Sequence

from ._host import host
from .errors import Cancelled, Failure, LimitExceeded, TimedOut
from .secrets import Ref

PIPE = -1
"""Output goes to the action."""
DEVNULL = -3
"""Output goes nowhere."""
TEE = -4
"""Output goes to the action and to the step's output."""

_TARGETS = {None: "step", PIPE: "capture", DEVNULL: "discard", TEE: "both"}
_MOST = 8 << 20


@dataclass(frozen=True)
class Usage:
    """What a program and its descendants used."""

    wall_seconds: float
    cpu_seconds: float
    peak_memory_bytes: int


class CalledProcessError(Failure):
    """A program ended with another code than 0, and `check` was asked for."""

    def __init__(self, returncode: int, args: Sequence[str], stdout: Any = None, stderr: Any = None) -> None:
        tail = stderr.decode(errors="replace") if isinstance(stderr, bytes) else stderr
        lines = [line for line in (tail or "").splitlines() if line.strip()]
        how = f"exit code {returncode}" if returncode >= 0 else f"signal {-returncode}"
        super().__init__(f"{args[0]} ended with {how}" + (f": {lines[-1].strip()}" if lines else ""))
        self.returncode, self.cmd, self.stdout, self.stderr = returncode, list(args), stdout, stderr
        self.detail = {"program": args[0], "returncode": returncode}


class TimeoutExpired(TimedOut):
    """A program took longer than its `timeout`."""


@dataclass
class CompletedProcess:
    """A program that ended. `returncode` is negative for a signal, as in `subprocess`."""

    args: list[str]
    returncode: int
    stdout: Any = None
    stderr: Any = None
    usage: Usage | None = None

    def check_returncode(self) -> None:
        """Raises `CalledProcessError` for another code than 0."""
        if self.returncode:
            raise CalledProcessError(self.returncode, self.args, self.stdout, self.stderr)


class Popen:
    """A program that runs. Leaving it as a context manager ends it, and all that it started."""

    def __init__(
        self,
        args: Sequence[str | os.PathLike[str]],
        *,
        stdin: None = None,
        input: bytes | str | Ref | None = None,
        stdout: int | None = None,
        stderr: int | None = None,
        cwd: str | os.PathLike[str] | None = None,
        env: Mapping[str, str | Ref] | None = None,
        timeout: float | None = None,
    ) -> None:
        if isinstance(args, str):
            raise TypeError(
                "a command is a list: the name of a Program capability and its arguments; there is no shell to split text"
            )
        self.args = [os.fspath(one) if isinstance(one, os.PathLike) else str(one) for one in args]
        if not self.args:
            raise ValueError("a command needs at least the name of a Program capability")
        for target in (stdout, stderr):
            if target not in _TARGETS:
                raise ValueError("stdout and stderr are None (the step's output), PIPE, TEE or DEVNULL")
        environment = [
            (name, "secret" if isinstance(value, Ref) else "plain", value.name if isinstance(value, Ref) else str(value))
            for name, value in (env or {}).items()
        ]
        if input is None:
            feed: tuple[str, Any] = ("none", None)
        elif isinstance(input, Ref):
            feed = ("secret", input.name)
        else:
            feed = ("bytes", input.encode() if isinstance(input, str) else bytes(input))
        self.returncode: int | None = None
        self.usage: Usage | None = None
        self._child = host().spawn(
            {
                "program": self.args[0],
                "arguments": self.args[1:],
                "environment": environment,
                "cwd": None if cwd is None else os.fspath(cwd),
                "stdin": feed,
                "stdout": _TARGETS[stdout],
                "stderr": _TARGETS[stderr],
                "timeout_millis": None if timeout is None else max(1, int(timeout * 1000)),
            }
        )

    def read(self, most: int = 65536) -> list[tuple[str, bytes]]:
        """Waits for captured output: pairs of `stdout` or `stderr` and bytes, in the order of arrival; empty at the end."""
        return self._child.read(most)

    def communicate(self, *, most: int = _MOST) -> tuple[bytes, bytes]:
        """Reads all captured output and waits for the end."""
        out: dict[str, bytearray] = {"stdout": bytearray(), "stderr": bytearray()}
        while chunks := self.read():
            for source, data in chunks:
                out[source] += data
            if sum(map(len, out.values())) > most:
                self.kill()
                raise LimitExceeded(f"{self.args[0]} printed more than {most} bytes")
        self.wait()
        return bytes(out["stdout"]), bytes(out["stderr"])

    def wait(self) -> int:
        """Waits for the end; the exit code, or the negative number of the signal."""
        if self.returncode is None:
            (kind, value), usage = self._child.wait()
            self.usage = Usage(*usage)
            name = self.args[0]
            if kind == "code":
                self.returncode = value
            elif kind == "signal":
                self.returncode = -value
            elif kind == "timed-out":
                raise TimeoutExpired(f"{name} took longer than it may and was ended")
            elif kind == "cancelled":
                raise Cancelled(f"{name} was ended because the operator asked the step to stop")
            elif kind == "limit-exceeded":
                raise LimitExceeded(f"{name} was ended by a limit: {value}")
            else:
                raise Failure(f"{name} ended in a way that this SDK does not know: {value}")
        return self.returncode

    def kill(self) -> None:
        """Ends the program and all that it started."""
        self._child.kill()

    def __enter__(self) -> Popen:
        return self

    def __exit__(self, *_: Any) -> None:
        if self.returncode is None:
            self.kill()


def run(
    args: Sequence[str | os.PathLike[str]],
    *,
    input: bytes | str | Ref | None = None,
    capture_output: bool = False,
    stdout: int | None = None,
    stderr: int | None = None,
    text: bool = False,
    check: bool = False,
    cwd: str | os.PathLike[str] | None = None,
    env: Mapping[str, str | Ref] | None = None,
    timeout: float | None = None,
) -> CompletedProcess:
    """Runs a program to its end: `run(["gzip", "-9", path], check=True)`.

    Output goes to the step's output unless it is captured. `env` is added to the step's environment; values that
    are `secrets.Ref("name")` are filled in by the host.
    """
    if capture_output:
        stdout = stderr = PIPE
    process = Popen(args, input=input, stdout=stdout, stderr=stderr, cwd=cwd, env=env, timeout=timeout)
    captured = [target in (PIPE, TEE) for target in (stdout, stderr)]
    raw: tuple[bytes, bytes] = (b"", b"")
    if any(captured):
        raw = process.communicate()
    else:
        process.wait()
    found: list[Any] = [data if wanted else None for data, wanted in zip(raw, captured)]
    if text:
        found = [None if one is None else one.decode("utf-8", "replace") for one in found]
    result = CompletedProcess(process.args, process.returncode or 0, *found, usage=process.usage)
    if check:
        result.check_returncode()
    return result


def check_output(args: Sequence[str | os.PathLike[str]], *, text: bool = False, **options: Any) -> Any:
    """What a program prints on standard output; its standard error goes to the step's."""
    return run(args, stdout=PIPE, check=True, text=text, **options).stdout


def find(program: str) -> str | None:
    """The path of a `Program` capability, when it is there and granted."""
    return host().find(program)

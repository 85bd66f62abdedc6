"""What a component did in a scripted world: see `capstan.testing`."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any


def _bytes(data: Any) -> bytes:
    return data.encode() if isinstance(data, str) else base64.b64decode(data["base64"])


@dataclass(frozen=True)
class Denial:
    """A refusal, with the lines of a policy that would grant it."""

    capability: str
    target: str
    hint: str


@dataclass(frozen=True)
class ProgramRun:
    """A program that was run. Secrets are shown as `{{secret:NAME}}`."""

    program: str
    path: str
    arguments: list[str]
    environment: dict[str, str]
    working_directory: str
    stdin: bytes | None
    timeout: float | None


@dataclass(frozen=True)
class Request:
    """A request that was sent. Secrets are shown as `{{secret:NAME}}`; names of headers are in lower case."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """Its body."""
        return json.loads(self.body)


@dataclass(frozen=True)
class Waited:
    """A wait: its reason, what for, and what ended it, `timer`, `signal` or `reboot`."""

    reason: str
    at: str | None
    signals: list[str]
    reboot: bool
    resumed_by: str | None
    signal: str | None


@dataclass(frozen=True)
class Run:
    """All that a step did, and how it ended.

    `status` is `Success`, `Failed`, …, and `detail` says more exactly: `AccessDenied`, `InvalidInput`, `FuelExhausted`. `failure`
    is what a failure says besides its `message`. `files` holds what was made or changed, `None` for what was removed; `folders`
    are new and empty. `fuel` is the same at every run. What the test has no answer to is in `unanswered`.
    """

    action: str
    status: str
    detail: str
    exit_code: int
    message: str
    failure: Any
    outputs: Any
    items: list[dict[str, Any]] | None
    stdout: str
    stderr: str
    logs: list[tuple[str, str, Any]]
    progress: list[tuple[int, int | None, str]]
    waits: list[Waited]
    denials: list[Denial]
    fuel: int
    peak_memory: int
    programs: list[ProgramRun]
    requests: list[Request]
    documents: list[dict[str, str]]
    secrets: list[tuple[str, str]]
    files: dict[str, bytes | None]
    folders: list[str]
    modes: dict[str, str]
    unanswered: list[str]
    backtrace: list[str]
    ended_at: str

    @classmethod
    def _of(cls, report: dict[str, Any]) -> Run:
        def is_file(one: Any) -> bool:
            return one is None or isinstance(one, str) or "base64" in one

        files: dict[str, Any] = report["files"]
        return cls(
            action=report["action"],
            status=report["status"],
            detail=report["statusDetail"],
            exit_code=report["exitCode"],
            message=report["message"],
            failure=report["detail"],
            outputs=report["outputs"],
            items=report["items"],
            stdout=report["stdout"],
            stderr=report["stderr"],
            logs=[(one["level"], one["message"], one["fields"]) for one in report["log"]],
            progress=[(one["done"], one["total"], one["note"]) for one in report["progress"]],
            waits=[
                Waited(one["reason"], **one["wake"], resumed_by=one["resumedBy"], signal=one["signal"])
                for one in report["suspensions"]
            ],
            denials=[Denial(**one) for one in report["denials"]],
            fuel=report["fuel"],
            peak_memory=report["peakMemory"],
            programs=[
                ProgramRun(
                    one["program"],
                    one["path"],
                    one["arguments"],
                    one["environment"],
                    one["workingDirectory"],
                    None if one["stdin"] is None else _bytes(one["stdin"]),
                    None if one["timeoutMillis"] is None else one["timeoutMillis"] / 1000,
                )
                for one in report["programs"]
            ],
            requests=[Request(one["method"], one["url"], one["headers"], _bytes(one["body"])) for one in report["requests"]],
            documents=report["documents"],
            secrets=[(one["name"], one["place"]) for one in report["secrets"]],
            files={path: None if one is None else _bytes(one) for path, one in files.items() if is_file(one)},
            folders=[path for path, one in files.items() if isinstance(one, dict) and "directory" in one],
            modes=report["modes"],
            unanswered=report["unanswered"],
            backtrace=report["backtrace"],
            ended_at=report["endedAt"],
        )

    def assert_success(self) -> Run:
        """Fails, with all that is known, unless the step succeeded and the test had an answer to all that it asked."""
        if self.status != "Success" or self.unanswered:
            raise AssertionError(f"the step did not succeed\n{self}")
        return self

    def denied(self, capability: str, target: str) -> bool:
        """Whether something was refused, by its path, URL or name."""
        return any((one.capability, one.target) == (capability, target) for one in self.denials)

    def __str__(self) -> str:
        lines = [f"{self.action}: {self.status} ({self.detail}), exit code {self.exit_code}"]
        said = [("message", self.message), ("stdout", self.stdout), ("stderr", self.stderr)]
        said += [("unanswered", one) for one in self.unanswered]
        said += [("denied", f"{one.capability} {one.target}: {one.hint}") for one in self.denials]
        return "\n".join(lines + [f"{what}: {text.rstrip()}" for what, text in said if text.strip()])

"""The built component in the real host, against a scripted world: see `capstan.testing`."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Iterable, Mapping

from ._run import Run

Content = str | bytes


class HarnessError(Exception):
    """Why a component was not run at all. How a step ends is in its `Run`."""


def _content(data: Content) -> Any:
    if isinstance(data, str):
        return data
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value not in (None, False)}


@dataclass(frozen=True)
class File:
    """A file with more than its content.

    Attributes:
        content: What is in it; `None` is a folder.
        modified: When it was last changed, as `2026-01-31T12:00:00Z`; else when the test begins.
        mode: The permission bits.
    """

    content: Content | None = ""
    modified: str | None = None
    mode: int | None = None

    def _script(self) -> dict[str, Any]:
        content = None if self.content is None else _content(self.content)
        return _given(
            {
                "directory": content is None,
                "modified": self.modified,
                "mode": None if self.mode is None else f"{self.mode:o}",
            }
        ) | (content if isinstance(content, dict) else {} if content is None else {"text": content})


@dataclass(frozen=True)
class Answer:
    """What a program does when it is run.

    Attributes:
        code: The code that it ends with.
        stdout: What it prints.
        stderr: The same for standard error.
        arguments: It answers to just these.
        writes: Files that it makes or replaces, if the step's programs may.
        removes: Files and folders that it removes, the same.
        signal: A signal ends it.
        times_out: The time-out of its command ends it.
        absent: It is not on this machine.
        takes: Seconds, by the clock of the test.
        times: How often it does so; then the next answer is asked.
    """

    code: int = 0
    stdout: Content = ""
    stderr: Content = ""
    arguments: Iterable[str] | None = None
    writes: Mapping[str, Content] = field(default_factory=dict)
    removes: Iterable[str] = ()
    signal: int | None = None
    times_out: bool = False
    absent: bool = False
    takes: float = 0
    times: int | None = None

    def _script(self, name: str) -> dict[str, Any]:
        ends = self.signal is not None or self.times_out or self.absent
        return _given(
            {
                "program": name,
                "exitCode": None if ends else self.code,
                "stdout": _content(self.stdout),
                "stderr": _content(self.stderr),
                "arguments": None if self.arguments is None else list(self.arguments),
                "writes": {path: _content(data) for path, data in self.writes.items()},
                "removes": list(self.removes),
                "signal": self.signal,
                "timesOut": self.times_out,
                "absent": self.absent,
                "takesMillis": round(self.takes * 1000),
                "times": self.times,
            }
        )


@dataclass(frozen=True)
class Response:
    """What a server answers.

    Attributes:
        status: Its status.
        body: Text, bytes, or anything for JSON.
        headers: Its headers.
        error: The server cannot be reached, for this reason.
        times_out: The server does not answer in time.
        times: How often it answers so; then the next answer is asked.
    """

    status: int = 200
    body: Any = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    error: str | None = None
    times_out: bool = False
    times: int | None = None

    def _script(self, where: str) -> dict[str, Any]:
        method, _, url = where.rpartition(" ")
        body = {"body": _content(self.body)} if isinstance(self.body, (str, bytes)) else {"json": self.body}
        return body | _given(
            {
                "method": method or None,
                "url": url,
                "status": self.status,
                "headers": dict(self.headers),
                "error": self.error,
                "timesOut": self.times_out,
                "times": self.times,
            }
        )


def _program(name: str, answer: Any) -> Answer:
    match answer:
        case Answer():
            return answer
        case None:
            return Answer()
        case bool():
            pass
        case int():
            return Answer(answer)
        case str() | bytes():
            return Answer(0, answer)
        case (int(code), out, err):
            return Answer(code, out, err)
    raise TypeError(
        f"the program {name}: an answer is a code, text, (code, stdout, stderr), a Answer or a list of these, and not {answer!r}; "
        "a function is for FakeHost, since the host is another process"
    )


def _response(where: str, answer: Any) -> Response:
    match answer:
        case Response():
            return answer
        case (int(status), body):
            return Response(status, body)
        case int() if not isinstance(answer, bool):
            return Response(answer)
    if callable(answer):
        raise TypeError(f"the response to {where} is a function, which is for FakeHost: the host is another process")
    return Response(200, answer)


def _in_turn(scripts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each once, and the last for good."""
    return [{"times": 1, **one} for one in scripts[:-1]] + scripts[-1:]


def _component(named: str | os.PathLike[str] | None) -> Path:
    """What was named, else what the project's build makes."""
    given = named or os.environ.get("CAPSTAN_COMPONENT")
    path = Path(given) if given else _output()
    if not path.is_file():
        raise HarnessError(
            f"there is no component {path}; run `capstan plugin build` first, or name the file in $CAPSTAN_COMPONENT"
        )
    return path.resolve()


def _output() -> Path:
    here = Path.cwd()
    for folder in (here, *here.parents):
        project = folder / "pyproject.toml"
        if project.is_file():
            output = tomllib.loads(project.read_text()).get("tool", {}).get("capstan", {}).get("output")
            if output:
                return folder / output
    raise HarnessError(
        f"which component is tested? No pyproject.toml in {here} or above has `output` in [tool.capstan]; "
        "name the file in $CAPSTAN_COMPONENT"
    )


class World:
    """A world for the built component, which runs in the real host: files given, programs and servers answered, clock set. The
    grant, the checks, the limits and the fuel are those of a node; nothing of the machine is touched, nothing is waited for.

    `programs` maps the name of a capability to a code, text for standard output, `(code, stdout, stderr)`, a `Answer`, or a list
    of these, each of which answers once and the last for good. `responses` maps `"GET https://…"` or a URL, in which `*` stands
    for any characters, to a status, a body (text, bytes, or anything for JSON), `(status, body)`, a `Response` or a list of
    `Response`. `files` maps paths to content, or to a `File`. `secrets` maps names to values, which are never shown. `signals`
    are what a step that waits for them gets, names or `(name, payload)`; waits for a time end at once, with the clock there.

    Without a `policy`, all that the manifest requests is granted, but for what `deny` names: `{"files": ["/etc/shadow"]}`.
    `limits` are a policy's: `{"fuel": 1_000_000}`. `step` is what the component is told of where it runs: `document`,
    `nodeId`, `platform`, `environment`, …
    """

    def __init__(
        self,
        *,
        files: Mapping[str, Content | File] | None = None,
        programs: Mapping[str, Any] | None = None,
        responses: Mapping[str, Any] | None = None,
        parameters: Mapping[str, str | list[str]] | None = None,
        secrets: Mapping[str, str] | None = None,
        documents: Mapping[str, Any] | None = None,
        signals: Iterable[str | tuple[str, Any]] = (),
        now: str | None = None,
        policy: str | None = None,
        deny: Mapping[str, list[Any]] | None = None,
        limits: Mapping[str, Any] | None = None,
        step: Mapping[str, Any] | None = None,
    ) -> None:
        self._world: dict[str, Any] = {
            "files": {
                path: (one if isinstance(one, File) else File(one))._script() for path, one in (files or {}).items()
            },
            "programs": [],
            "http": [],
            "parameters": dict(parameters or {}),
            "secrets": dict(secrets or {}),
            "documents": dict(documents or {}),
            "signals": [
                {"name": one} if isinstance(one, str) else {"name": one[0], "payload": one[1]} for one in signals
            ],
            "now": now,
        }
        for name, answers in (programs or {}).items():
            several = answers if isinstance(answers, list) else [answers]
            self._world["programs"] += _in_turn([_program(name, one)._script(name) for one in several])
        for where, answer in (responses or {}).items():
            is_list = isinstance(answer, list) and answer and all(isinstance(one, Response) for one in answer)
            several = answer if is_list else [answer]
            self._world["http"] += _in_turn([_response(where, one)._script(where) for one in several])
        self._request = _given({"policy": policy, "deny": deny, "limits": limits, "step": step})

    def run(
        self,
        inputs: Mapping[str, Any] | None = None,
        *,
        action: str | None = None,
        component: str | os.PathLike[str] | None = None,
    ) -> Run:
        """Runs the step, from its start to its end, whatever it waits for.

        The component is `$CAPSTAN_COMPONENT`, else `output` in `[tool.capstan]` of `pyproject.toml`; the host is `$CAPSTAN`, else
        the `capstan` of `PATH`. `action` is one of its names, if it has several.

        Raises:
            HarnessError: When it does not run at all.
        """
        request = {
            **self._request,
            **_given({"action": action}),
            "component": str(_component(component)),
            "inputs": dict(inputs or {}),
            "world": self._world,
        }
        program = os.environ.get("CAPSTAN") or "capstan"
        try:
            done = subprocess.run([program, "plugin", "harness"], input=json.dumps(request).encode(), capture_output=True)
        except OSError as error:
            raise HarnessError(
                f"there is no {program} to run the component with ({error.strerror}); install Capstan, or name its program in $CAPSTAN"
            ) from error
        try:
            report = json.loads(done.stdout)
        except ValueError:
            why = done.stderr.decode(errors="replace").strip()
            raise HarnessError(f"{program} answered with something that is no report; is it of another version? {why}") from None
        if "error" in report:
            raise HarnessError(report["error"])
        return Run._of(report)

"""Tests of actions and collectors, against a host that is scripted: in ordinary Python, which is fast and can be debugged,

    def test_rotates():
        with FakeHost(programs={"gzip": lambda command: 0}) as host:
            result = start(rotate, {"folder": "/var/log/app"})
        assert result.outputs == {"rotated": 1}
        assert host.commands[0]["arguments"] == ["-9", "/var/log/app/a.log"]

and with the built component in the real host, with its grant, its checks and its fuel.

    def test_rotates_in_the_host():
        world = World(files={"/var/log/app/a.log": "one"}, programs={"gzip": Answer(removes=["/var/log/app/a.log"])})
        run = world.run({"folder": "/var/log/app"}).assert_success()
        assert run.outputs == {"rotated": 1} and run.files == {"/var/log/app/a.log": None}
        assert run.fuel < 500_000_000
"""

from __future__ import annotations

import hashlib
import json
import time
from typing import Any, Callable, Iterable, Mapping

from . import _host
from ._define import Action, Collector, Item, items_of, outcome, state_text
from ._harness import Answer, File, HarnessError, Response, World
from ._run import Denial, ProgramRun, Request, Run, Waited
from .context import Context, Event, Platform, Result, Suspension
from .errors import Denied, NotFound

__all__ = [
    "Answer",
    "Denial",
    "FakeHost",
    "File",
    "HarnessError",
    "ProgramRun",
    "Request",
    "Response",
    "Run",
    "Waited",
    "World",
    "collect",
    "context",
    "resume",
    "start",
]


class _Child:
    def __init__(self, code: int, chunks: list[tuple[str, bytes]]) -> None:
        self.code, self.chunks = code, chunks

    def read(self, most: int) -> list[tuple[str, bytes]]:
        chunks, self.chunks = self.chunks, []
        return chunks

    def wait(self) -> tuple[tuple[str, Any], tuple[float, float, int]]:
        return ("code" if self.code >= 0 else "signal", abs(self.code)), (0.0, 0.0, 0)

    def kill(self) -> None:
        pass


class _Answer:
    def __init__(self, url: str, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self._url, self._status, self._headers, self._body = url, status, dict(headers), body

    def status(self) -> int:
        return self._status

    def headers(self) -> list[tuple[str, str]]:
        return [(name.lower(), value) for name, value in self._headers.items()]

    def url(self) -> str:
        return self._url

    def read(self, most: int) -> bytes:
        piece, self._body = self._body[:most], self._body[most:]
        return piece


class _Writer:
    def __init__(self, host: FakeHost, path: str) -> None:
        self.host, self.path, self.data = host, path, b""

    def write(self, data: bytes) -> None:
        self.data += data

    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    def commit(self) -> None:
        self.host.files[self.path] = self.data

    def discard(self) -> None:
        self.data = b""


class FakeHost:
    """A host with what a test gives it; as a context manager it is the host inside of its block.

    `programs` maps the name of a capability to a function of the command that returns an exit code, text for standard output,
    or `(code, stdout, stderr)`. `responses` maps `"GET https://…"` or a URL to a status, a body (text, bytes, or anything for
    JSON), `(status, body)` or a function of the request. `files` maps paths to content for `capstan.files`. What is in `denied`,
    a path, a program, a URL or a name, is refused.

    Afterwards `commands`, `requests`, `logs`, `progress_notes`, `output` and `errors` hold what the action did.
    """

    def __init__(
        self,
        *,
        programs: Mapping[str, Callable[[dict[str, Any]], Any]] | None = None,
        responses: Mapping[str, Any] | None = None,
        files: Mapping[str, bytes | str] | None = None,
        parameters: Mapping[str, str | list[str]] | None = None,
        secrets: Iterable[str] = (),
        documents: Mapping[str, str] | None = None,
        denied: Iterable[str] = (),
        cancelled: bool = False,
    ) -> None:
        self.programs, self.responses = dict(programs or {}), dict(responses or {})
        self.files = {path: one.encode() if isinstance(one, str) else one for path, one in (files or {}).items()}
        self.parameters, self.secrets = dict(parameters or {}), set(secrets)
        self.documents, self.denied, self.is_cancelled = dict(documents or {}), set(denied), cancelled
        self.commands: list[dict[str, Any]] = []
        self.requests: list[dict[str, Any]] = []
        self.logs: list[tuple[str, str, Any]] = []
        self.progress_notes: list[tuple[int, int | None, str]] = []
        self.output, self.errors = b"", b""
        self._before: list[Any] = []

    def __enter__(self) -> FakeHost:
        self._before.append(_host.install(self))
        return self

    def __exit__(self, *_: Any) -> None:
        _host.install(self._before.pop())

    def _check(self, capability: str, target: str) -> None:
        if target in self.denied:
            raise Denied(capability, target, f"{capability}: [{target}]")

    def write(self, stream: str, data: bytes) -> None:
        if stream == "stdout":
            self.output += data
        else:
            self.errors += data

    def progress(self, done: int, total: int | None, note: str) -> None:
        self.progress_notes.append((done, total, note))

    def log(self, level: str, message: str, fields: str | None) -> None:
        self.logs.append((level, message, json.loads(fields) if fields else None))

    def cancelled(self) -> bool:
        return self.is_cancelled

    def spawn(self, command: dict[str, Any]) -> _Child:
        name = command["program"]
        self._check("programs", name)
        if name not in self.programs:
            raise NotFound(f"the program {name} does not exist")
        self.commands.append(command)
        answer = self.programs[name](command)
        code, out, err = (
            answer if isinstance(answer, tuple) else (answer, "", "") if isinstance(answer, int) else (0, answer or "", "")
        )
        chunks = []
        for stream, text in (("stdout", out), ("stderr", err)):
            data = text.encode() if isinstance(text, str) else text
            if data and command[stream] in ("capture", "both"):
                chunks.append((stream, data))
            if data and command[stream] in ("step", "both"):
                self.write(stream, data)
        return _Child(code, chunks)

    def find(self, program: str) -> str | None:
        return f"/usr/bin/{program}" if program in self.programs and program not in self.denied else None

    def _content(self, path: str) -> bytes:
        self._check("files", path)
        if path not in self.files:
            raise NotFound(f"{path} does not exist")
        return self.files[path]

    def _names(self, path: str) -> dict[str, str]:
        prefix = path.rstrip("/") + "/"
        found: dict[str, str] = {}
        for one in self.files:
            if one.startswith(prefix):
                head, _, rest = one[len(prefix) :].partition("/")
                found[head] = "directory" if rest else "file"
        return found

    def stat(self, path: str) -> dict[str, Any]:
        self._check("files", path)
        if path not in self.files and self._names(path):
            return {"kind": "directory", "size": 0, "modified": 0.0, "mode": 0o755}
        return {"kind": "file", "size": len(self._content(path)), "modified": 0.0, "mode": 0o644}

    def list_directory(self, path: str) -> list[tuple[str, str]]:
        self._check("files", path)
        found = self._names(path)
        if not found:
            raise NotFound(f"{path} does not exist")
        return sorted(found.items())

    def read(self, path: str, offset: int, length: int) -> bytes:
        return self._content(path)[offset : offset + length]

    def create_directory(self, path: str) -> None:
        self._check("files", path)

    def remove(self, path: str, recursive: bool) -> None:
        self._check("files", path)
        gone = [one for one in self.files if one == path or recursive and one.startswith(path.rstrip("/") + "/")]
        if not gone:
            raise NotFound(f"{path} does not exist")
        for one in gone:
            del self.files[one]

    def set_mode(self, path: str, mode: int) -> None:
        self._content(path)

    def append(self, path: str, data: bytes) -> None:
        self._check("files", path)
        self.files[path] = self.files.get(path, b"") + data

    def create(self, path: str, mode: int, resume: str | None) -> tuple[_Writer, int]:
        self._check("files", path)
        return _Writer(self, path), 0

    def send(self, request: dict[str, Any]) -> _Answer:
        url = request["url"]
        self._check("hosts", url)
        self.requests.append(request)
        answer = self.responses.get(f"{request['method']} {url}", self.responses.get(url))
        if callable(answer):
            answer = answer(request)
        if answer is None:
            raise NotFound(f"the test has no response for {request['method']} {url}")
        status, body = answer if isinstance(answer, tuple) else (answer, b"") if isinstance(answer, int) else (200, answer)
        headers = {}
        if not isinstance(body, (str, bytes)):
            body, headers = json.dumps(body), {"content-type": "application/json"}
        return _Answer(url, status, headers, body.encode() if isinstance(body, str) else body)

    def aws_endpoint(self, service: str) -> str | None:
        return None

    def aws_region(self) -> str:
        return "us-east-1"

    def secret(self, name: str) -> str:
        self._check("secrets", name)
        if name not in self.secrets:
            raise NotFound(f"the secret {name} does not exist")
        return f"{{{{placeholder:{name}}}}}"

    def parameter(self, name: str) -> str | list[str]:
        self._check("parameters", name)
        if name not in self.parameters:
            raise NotFound(f"the parameter {name} does not exist")
        return self.parameters[name]

    def get_document(self, name: str) -> str:
        self._check("documents", name)
        if name not in self.documents:
            raise NotFound(f"the document {name} does not exist")
        return self.documents[name]

    def run_document(self, name: str, content: str, parameters: str) -> tuple[str, int]:
        self._check("documents", name)
        return "Success", 0


def context(**changes: Any) -> Context:
    """A context as a step has it, with what a test wants otherwise."""
    given: dict[str, Any] = {
        "run_id": "test-run",
        "node_id": "test-node",
        "document": "test",
        "step": "test",
        "work_directory": "/work",
        "downloads_directory": "/downloads",
        "data_directory": "/data",
        "deadline": time.time() + 3600,
        "platform": Platform(name="debian", version="12"),
        **changes,
    }
    return Context(**given)


def start(action: Action, inputs: Mapping[str, Any] | None = None, at: Context | None = None) -> Result | Suspension:
    """Starts an action as the host does: with inputs as JSON. What it raises is raised."""
    return outcome(action.call(at or context(action=action.names[0]), json.dumps(inputs or {})))


def resume(action: Action, waiting: Suspension, event: Event | None = None, at: Context | None = None) -> Result | Suspension:
    """Goes on after a `Suspension`; its state goes through JSON."""
    return outcome(action.call_resume(at or context(action=action.names[0]), state_text(waiting.state), event or Event("timer")))


def collect(collector: Collector, settings: Mapping[str, Any] | None = None, at: Context | None = None) -> list[Item]:
    """Calls a collector as the host does, and checks that its entries are text."""
    found = items_of(collector.call(at or context(), json.dumps(settings or {})))
    for one in found:
        one.entries()
    return found

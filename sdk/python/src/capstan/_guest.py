"""The SDK's side of the generated bindings. Imported only while a component is built, and part of it from then on."""

from __future__ import annotations

import _io
import builtins
import importlib
import io
import json
import logging
import os
import pkgutil
import random
import sys
import traceback
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, Callable, NoReturn

# What the standard library imports late, when there is no file to import it from any more.
import _strptime  # noqa: F401
import encodings.ascii  # noqa: F401
import encodings.idna  # noqa: F401
import encodings.latin_1  # noqa: F401
import encodings.utf_8_sig  # noqa: F401
import encodings.utf_16  # noqa: F401

import wit_world
from componentize_py_types import Err
from wit_world.imports import capstan_action_types_0_1_0 as wit
from wit_world.imports import capstan_host_types_0_1_0 as host_types

from . import _host, _lasting, step
from ._define import Action, Component, as_failure, items_of, outcome, remember_source, state_text
from .context import Context, Event, Platform, Result, Suspension
from .errors import Cancelled, Denied, Failure, HostError, InvalidCall, LimitExceeded, NotFound, TimedOut

_U32, _U64, _S32 = (1 << 32) - 1, (1 << 64) - 1, (1 << 31) - 1

_REHEARSALS = 50
_encode = json.JSONEncoder(ensure_ascii=False).encode

_OWN = __file__.rsplit("/", 1)[0] + "/"
_WANTS = {
    "process": "a Program",
    "files": "Files",
    "http": "a Host",
    "secrets": "a Secret",
    "parameters": "a Parameter",
    "control": "a Document",
}


class _Absent:
    """An interface that the component does not import, since nothing of it was asked for."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __getattr__(self, _: str) -> NoReturn:
        raise Failure(
            f"this component was built without `{self.name}`: declare {_WANTS.get(self.name, 'it')} among its capabilities"
        )


def _interface(name: str) -> Any:
    try:
        return importlib.import_module(f"wit_world.imports.capstan_host_{name}_0_1_0")
    except ImportError:
        return _Absent(name)


_step, _process, _files, _http, _secrets, _parameters, _control = map(
    _interface, ("step", "process", "files", "http", "secrets", "parameters", "control")
)


def _raise(error: Any) -> NoReturn:
    """A host's error as an exception."""
    name, value = type(error).__name__, getattr(error, "value", None)
    match name:
        case "Error_Denied":
            raise Denied(value.capability, value.target, value.hint)
        case "Error_LimitExceeded":
            raise LimitExceeded(f"a limit is used up: {value}")
        case "Error_NotFound":
            raise NotFound(f"{value} does not exist")
        case "Error_Invalid":
            raise InvalidCall(value)
        case "Error_TimedOut":
            raise TimedOut("it took too long")
        case "Error_Cancelled":
            raise Cancelled("the step was cancelled")
    raise HostError(str(value if value is not None else name))


def _text(value: Any) -> str:
    """Text that is sure to be UTF-8: half a surrogate pair would end in a trap."""
    return str(value).encode("utf-8", "replace").decode()


def _call(function: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return function(*arguments)
    except Err as error:
        _raise(error.value)


def _plain(name: str, value: Any) -> str:
    return type(value).__name__.removeprefix(name + "_").removesuffix("_")


_WORDS = {
    "Code": "code",
    "Signal": "signal",
    "TimedOut": "timed-out",
    "Cancelled": "cancelled",
    "LimitExceeded": "limit-exceeded",
    "Other": "other",
}


class _Child:
    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def read(self, most: int) -> list[tuple[str, bytes]]:
        return [(one.source.name.lower(), one.data) for one in _call(self.inner.read, min(most, _U32))]

    def wait(self) -> tuple[tuple[str, Any], tuple[float, float, int]]:
        status, usage = _call(self.inner.wait)
        word = _WORDS.get(_plain("ExitStatus", status), "other")
        return (word, getattr(status, "value", None)), (
            usage.wall_millis / 1000,
            usage.cpu_millis / 1000,
            usage.peak_memory_bytes,
        )

    def kill(self) -> None:
        _call(self.inner.kill)


class _Writer:
    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def write(self, data: bytes) -> None:
        _call(self.inner.write, data)

    def sha256(self) -> str:
        return self.inner.sha256()

    def commit(self) -> None:
        _call(self.inner.commit)

    def discard(self) -> None:
        self.inner.discard()


class _Answer:
    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def status(self) -> int:
        return self.inner.status()

    def headers(self) -> list[tuple[str, str]]:
        return self.inner.headers()

    def url(self) -> str:
        return self.inner.url()

    def read(self, most: int) -> bytes:
        return _call(self.inner.read, min(most, _U32))


class GuestHost:
    """The real host, through the component's imports."""

    def write(self, stream: str, data: bytes) -> None:
        # What was printed before comes before.
        (sys.stdout if stream == "stdout" else sys.stderr).flush()
        _step.write(host_types.OutputStream[stream.upper()], data)

    def progress(self, done: int, total: int | None, note: str) -> None:
        _step.progress(min(done, _U64), None if total is None else min(total, _U64), _text(note))

    def log(self, level: str, message: str, fields: str | None) -> None:
        _step.log(host_types.Level[level.upper()], _text(message), fields)

    def cancelled(self) -> bool:
        return _step.cancelled()

    def spawn(self, command: dict[str, Any]) -> _Child:
        kind, value = command["stdin"]
        stdin = {
            "none": lambda: _process.Stdin_None_(),
            "bytes": lambda: _process.Stdin_Bytes(value),
            "secret": lambda: _process.Stdin_Secret(value),
        }[kind]()
        environment = [
            (name, _process.EnvValue_Secret(text) if how == "secret" else _process.EnvValue_Plain(text))
            for name, how, text in command["environment"]
        ]
        return _Child(
            _call(
                _process.spawn,
                _process.Command(
                    command["program"],
                    command["arguments"],
                    environment,
                    command["cwd"],
                    stdin,
                    _process.OutputTarget[command["stdout"].upper()],
                    _process.OutputTarget[command["stderr"].upper()],
                    command["timeout_millis"],
                ),
            )
        )

    def find(self, program: str) -> str | None:
        return _process.find(program)

    def stat(self, path: str) -> dict[str, Any]:
        found = _call(_files.stat, path)
        return {
            "kind": found.kind.name.lower(),
            "size": found.size,
            "modified": found.modified / 1000,
            "mode": found.mode,
        }

    def list_directory(self, path: str) -> list[tuple[str, str]]:
        return [(one.name, one.kind.name.lower()) for one in _call(_files.list_directory, path)]

    def read(self, path: str, offset: int, length: int) -> bytes:
        return _call(_files.read, path, offset, min(length, _U32))

    def create_directory(self, path: str) -> None:
        _call(_files.create_directory, path)

    def remove(self, path: str, recursive: bool) -> None:
        _call(_files.remove, path, bool(recursive))

    def set_mode(self, path: str, mode: int) -> None:
        _call(_files.set_mode, path, mode & _U32)

    def append(self, path: str, data: bytes) -> None:
        _call(_files.append, path, data)

    def create(self, path: str, mode: int, resume: str | None) -> tuple[_Writer, int]:
        writer, kept = _call(_files.create, path, mode & _U32, resume)
        return _Writer(writer), kept

    def send(self, request: dict[str, Any]) -> _Answer:
        kind, *values = request["authorization"]
        authorization = {
            "none": lambda: _http.Authorization_None_(),
            "basic": lambda: _http.Authorization_Basic(tuple(values)),
            "digest": lambda: _http.Authorization_Digest(tuple(values)),
            "bearer": lambda: _http.Authorization_Bearer(values[0]),
            "aws-sigv4": lambda: _http.Authorization_AwsSigv4(tuple(values)),
        }[kind]()
        return _Answer(
            _call(
                _http.send,
                _http.Request(
                    request["method"],
                    request["url"],
                    request["headers"],
                    request["body"],
                    authorization,
                    request["max_redirects"],
                    request["timeout_millis"],
                ),
            )
        )

    def aws_endpoint(self, service: str) -> str | None:
        return _http.aws_endpoint(service)

    def aws_region(self) -> str:
        return _http.aws_region()

    def secret(self, name: str) -> str:
        return _call(_secrets.get, name)

    def parameter(self, name: str) -> str | list[str]:
        return _call(_parameters.get, name).value

    def get_document(self, name: str) -> str:
        return _call(_control.get_document, name)

    def run_document(self, name: str, content: str, parameters: str) -> tuple[str, int]:
        found = _call(_control.run_document, name, content, parameters)
        return found.status, found.exit_code


def _refuse(what: str) -> Callable[..., NoReturn]:
    def refused(*_: Any, **__: Any) -> NoReturn:
        raise PermissionError(what)

    return refused


_OF_FILES = (
    "access chdir chmod chown getcwd getcwdb lchown link listdir lstat mkdir open readlink remove rename replace rmdir scandir stat"
    " statvfs symlink truncate unlink utime"
).split()


def _close_files() -> None:
    """Without files in the manifest there is no file system in the component, and what looks for one is told so."""
    refused = _refuse("this action sees no files: declare Files among its capabilities")
    for module in (os, sys.modules["posix"]):
        for name in _OF_FILES:
            if hasattr(module, name):
                setattr(module, name, refused)
    for module in (io, _io):
        module.open = module.open_code = module.FileIO = refused  # type: ignore[assignment]
    builtins.open = refused  # type: ignore[assignment]


class _LateImports:
    """The last word on imports: the files of modules are there while the component is built, and never again."""

    @staticmethod
    def find_spec(name: str, *_: Any) -> NoReturn:
        raise ModuleNotFoundError(
            f"the module {name} is not in the component: import it at the top of the action's module", name=name
        )


def _close_imports() -> None:
    sys.meta_path[:] = [one for one in sys.meta_path if one.__name__ in ("BuiltinImporter", "FrozenImporter")]
    sys.meta_path.append(_LateImports)


def _close_sockets() -> None:
    socket = sys.modules.get("socket")
    refused = _refuse("components have no sockets: declare a Host and use capstan.http")
    for module in (socket, sys.modules.get("_socket")):
        for name in ("getaddrinfo", "gethostbyname", "create_connection", "socketpair", "getnameinfo"):
            if module and hasattr(module, name):
                setattr(module, name, refused)
    if socket:
        socket.socket.__init__ = refused  # type: ignore[method-assign]


_component: Component | None = None


def prepare(component: Component, modules: list[str]) -> None:
    """Called once, while the component is built."""
    global _component
    _component = component
    _host.install(GuestHost())
    remember_source(*modules)
    try:
        raise KeyError("to import now what tracebacks need")
    except KeyError as error:
        traceback.print_exception(error, file=io.StringIO())
    root = logging.getLogger()
    if not root.handlers:
        root.addHandler(step.LogHandler())
        root.setLevel(logging.INFO)
    _warm_up()
    # What the bindings import when the component's exports are looked up, after this.
    for one in pkgutil.walk_packages(wit_world.__path__, "wit_world."):
        importlib.import_module(one.name)
    _close_imports()
    _close_sockets()
    if not component.capabilities.get("files"):
        _close_files()
    _lasting.survey()


@dataclass
class _Inputs:
    text: str
    more: list[str] = field(default_factory=list)


def _rehearsed(_: Context, inputs: _Inputs) -> Any:
    """Takes inputs and returns outputs."""
    return {"text": inputs.text}


def _warm_up() -> None:
    """Goes through the SDK's part of a call, with an action of its own, until the interpreter has specialized it. What that writes is
    then part of the image; else each instance writes it, into pages that have to be copied for it."""
    global _component
    given = SimpleNamespace(
        **dict.fromkeys("run_id node_id document step action work_directory downloads_directory data_directory".split(), ""),
        attempt=1,
        platform=SimpleNamespace(kind="", name="", version="", architecture=""),
        deadline=0,
        environment=[],
    )
    own, _component = _component, Action(_rehearsed, ["capstan:rehearsal"], "0.0.0", None, (), "same", (), None)
    for _ in range(_REHEARSALS):
        ActionExport().start(given, '{"text": "one"}')
    _component = own


def _begin() -> None:
    """Before each call: what was frozen at the build is renewed."""
    random.seed()


def _failure(error: BaseException) -> Err:
    found = as_failure(error)
    if found is not error:
        shown = error.__traceback__
        while shown and shown.tb_next and shown.tb_frame.f_code.co_filename.startswith(_OWN):
            shown = shown.tb_next
        traceback.print_exception(type(error), error, shown, file=sys.stderr)
    try:
        detail = None if found.detail is None else json.dumps(found.detail, default=str)
    except (TypeError, ValueError):
        detail = None
    kind = {
        "invalid-input": wit.FailureKind_InvalidInput,
        "timed-out": wit.FailureKind_TimedOut,
        "denied": wit.FailureKind_Denied,
        "cancelled": wit.FailureKind_Cancelled,
    }.get(found.kind, wit.FailureKind_Failed)
    return Err(wit.Failure(kind(), _text(found), detail))


def _guarded(function: Callable[[], Any]) -> Any:
    """Runs the action's code: whatever it raises is a failure, never a trap."""
    try:
        _begin()
        try:
            return function()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 0 if error.code is None else 1
        if isinstance(error.code, str):
            print(error.code, file=sys.stderr)
        return _outcome(Result(None, "success" if code == 0 else "failed", code))
    except BaseException as error:  # noqa: BLE001
        failure = _failure(error)
        sys.stderr.flush()
    raise failure


def _context(given: Any) -> Context:
    platform = given.platform
    return Context(
        given.run_id,
        given.node_id,
        given.document,
        given.step,
        given.action,
        given.attempt,
        Platform(platform.kind, platform.name, platform.version, platform.architecture),
        given.work_directory,
        given.downloads_directory,
        given.data_directory,
        given.deadline / 1000,
        dict(given.environment),
    )


def _event(given: Any) -> Event:
    match type(given).__name__:
        case "Event_Timer":
            return Event("timer")
        case "Event_Rebooted":
            return Event("rebooted")
        case "Event_Signal":
            payload = given.value.payload
            return Event("signal", given.value.name, None if payload is None else json.loads(payload))
    return Event(str(given.value))


def _outcome(value: Any) -> Any:
    found = outcome(value)
    if isinstance(found, Suspension):
        at = None if found.at is None else max(0, min(int(found.at * 1000), _U64))
        if found.reboot:
            wake = wit.Wake_Reboot()
        elif at is None:
            wake = wit.Wake_Signal(list(found.signals))
        elif found.signals:
            wake = wit.Wake_Either((at, list(found.signals)))
        else:
            wake = wit.Wake_At(at)
        return wit.Outcome_Suspended(wit.Suspension(state_text(found.state), wake, _text(found.reason)))
    status = {
        "success": wit.Status_Success,
        "failed": wit.Status_Failed,
        "timed-out": wit.Status_TimedOut,
        "cancelled": wit.Status_Cancelled,
        "skipped": wit.Status_Skipped,
    }.get(found.status)
    outputs = None if found.outputs is None else _text(_encode(found.outputs))
    code = max(-_S32, min(int(found.exit_code), _S32))
    return wit.Outcome_Done(wit.Result(status() if status else wit.Status_Other(str(found.status)), code, outputs))


def _the_component() -> Any:
    assert _component is not None
    return _component


class Describe:
    """`capstan:action/describe`."""

    def manifest(self) -> str:
        """The manifest, as JSON."""
        return json.dumps(_the_component().manifest())


class ActionExport:
    """`capstan:action/action`."""

    def start(self, context: Any, inputs: str) -> Any:
        """Begins a step."""
        return _guarded(lambda: _outcome(_the_component().call(_context(context), inputs)))

    def resume(self, context: Any, state: bytes, event: Any) -> Any:
        """Goes on after a wait."""
        component = _the_component()
        assert isinstance(component, Action)
        return _guarded(lambda: _outcome(component.call_resume(_context(context), state, _event(event))))


class CollectorExport:
    """`capstan:inventory/collector`."""

    def collect(self, context: Any, settings: str) -> Any:
        """Looks at the machine."""

        def collect() -> Any:
            inventory = importlib.import_module("wit_world.imports.capstan_inventory_types_0_1_0")
            found = items_of(_the_component().call(_context(context), settings))
            return [
                inventory.Item(
                    _text(one.type_name),
                    one.schema_version,
                    [[(_text(key), _text(value)) for key, value in entry] for entry in one.entries()],
                )
                for one in found
            ]

        try:
            result = _guarded(collect)
        except Err:
            raise
        if not isinstance(result, list):
            raise Err(wit.Failure(wit.FailureKind_Failed(), "the collector exited instead of returning items", None))
        return result

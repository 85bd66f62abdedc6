"""The decorators: what they remember, the manifest, and the calls."""

from __future__ import annotations

import inspect
import json
import linecache
import re
import traceback
import typing
from dataclasses import dataclass
from typing import Any, Callable, Mapping, Sequence

from .capabilities import Capability, requests
from .context import Context, Event, Result, Suspension
from .errors import Failure, InvalidInput
from .schema import from_json, remember, schema_of, to_json

_VERSION = re.compile(r"\d+\.\d+\.\d+([-+][0-9A-Za-z.+-]+)?")
_PLATFORMS = ("Linux", "MacOS", "Windows")


class DefinitionError(TypeError):
    """An action or collector is declared in a way that cannot work."""


@dataclass
class _Signature:
    """What a function takes after its context."""

    kind: Any
    count: int


def _signature(function: Callable[..., Any], most: int) -> _Signature:
    name = function.__name__
    if inspect.iscoroutinefunction(function):
        raise DefinitionError(f"{name} is `async`, which an action in Python cannot be: calls of the host wait by themselves")
    parameters = [
        one
        for one in inspect.signature(function).parameters.values()
        if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)
    ]
    if len(parameters) > most:
        raise DefinitionError(f"{name} has {len(parameters)} parameters; the host gives it at most {most}")
    try:
        hints = typing.get_type_hints(function, include_extras=True)
    except NameError as error:
        raise DefinitionError(
            f"a type of {name} is not known where it is declared ({error}); define it above, at the top of the module"
        ) from error
    kind = hints.get(parameters[1].name, Any) if len(parameters) > 1 else None
    remember(hints.get("return"))
    return _Signature(kind, len(parameters))


class Component:
    """What actions and collectors share."""

    word = "component"

    def __init__(
        self,
        function: Callable[..., Any],
        names: Sequence[str],
        version: str,
        description: str | None,
        capabilities: Sequence[Capability],
        children: str,
        platforms: Sequence[str],
        limits: Mapping[str, Any] | None,
    ) -> None:
        where = f"the {self.word} {function.__name__}"
        self.function = function
        self.__name__, self.__doc__, self.__module__ = function.__name__, function.__doc__, function.__module__
        self.__wrapped__ = function
        self.signature = _signature(function, 2)
        text = description or inspect.cleandoc(function.__doc__ or "").split("\n\n")[0]
        text = " ".join(text.split())
        if not text:
            raise DefinitionError(f"{where} needs a description: a docstring of one sentence, or description=…")
        if not _VERSION.fullmatch(version):
            raise DefinitionError(f"{where} has the version `{version}`, which is not of the form 1.2.3")
        for one in platforms:
            if one not in _PLATFORMS:
                raise DefinitionError(f"{where} names the platform `{one}`; there are {', '.join(_PLATFORMS)}")
        self.names, self.version, self.description = list(names), version, text
        try:
            self.capabilities = requests(capabilities, children)
            self.schema = self._schema()
        except (TypeError, ValueError) as error:
            raise DefinitionError(f"{where}: {error}") from error
        self.platforms, self.limits = list(platforms), dict(limits) if limits else None

    def _schema(self) -> dict[str, Any]:
        kind = self.signature.kind
        if kind is None:
            return {"type": "object", "properties": {}, "additionalProperties": False}
        found = schema_of(kind)
        if found and found.get("type") != "object":
            raise TypeError("the inputs are a dataclass, a TypedDict or a dict")
        return found or {"type": "object"}

    def inputs(self, text: str) -> tuple[Any, ...]:
        """The arguments after the context from the host's JSON."""
        try:
            value = json.loads(text)
        except ValueError as error:
            raise InvalidInput(f"the inputs are not JSON: {error}") from error
        if self.signature.count < 2:
            return ()
        return (from_json(self.signature.kind, value),)

    def call(self, context: Context, text: str) -> Any:
        """Calls the function as the host does, with inputs as JSON text."""
        arguments = self.inputs(text)
        return self.function(*((context, *arguments) if self.signature.count else ()))

    def manifest(self) -> dict[str, Any]:
        """What the component says of itself."""
        found: dict[str, Any] = {
            self.plural: self.names,
            "version": self.version,
            "description": self.description,
            "inputSchema": self.schema,
        }
        if self.platforms:
            found["platforms"] = self.platforms
        if self.capabilities:
            found["capabilities"] = self.capabilities
        if self.limits:
            found["limits"] = self.limits
        return found

    plural = ""

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        return self.function(*arguments, **named)


class Action(Component):
    """A decorated function. Calling it calls the function, so that tests are simple."""

    word, plural = "action", "actions"

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.resume_function: Callable[..., Any] | None = None
        self.resume_signature = _Signature(None, 0)

    def resume(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Decorates the function that goes on after `suspend`: `def again(context, state: State, event: Event)`."""
        self.resume_function = function
        self.resume_signature = _signature(function, 3)
        return function

    def call_resume(self, context: Context, state: bytes, event: Event) -> Any:
        """Goes on, as the host does, with the state as it was stored."""
        if self.resume_function is None:
            raise Failure(f"the action {self.names[0]} does not wait, so there is nothing to resume")
        stored = json.loads(state)
        value, kind = stored["state"], self.resume_signature.kind
        options = [one for one in typing.get_args(kind) if isinstance(one, type)] or [kind]
        for one in options:
            if isinstance(one, type) and one.__name__ == stored.get("type"):
                kind = one
        try:
            state_value = value if kind is None else from_json(kind, value, "the state")
        except InvalidInput as error:
            raise Failure(f"the stored state does not fit the function {self.resume_function.__name__}: {error}") from error
        arguments = (context, state_value, event)
        return self.resume_function(*arguments[: self.resume_signature.count])


class Collector(Component):
    """A decorated function that looks at the machine."""

    word, plural = "collector", "collectors"


@dataclass(frozen=True)
class Item:
    """All that was found of one type, in the form of SSM's inventory: `Custom:` and a name, a version like `1.0`, and entries whose
    values are all text. Numbers and truth values are written out, and None is left out."""

    type_name: str
    content: Sequence[Mapping[str, Any]]
    schema_version: str = "1.0"

    def entries(self) -> list[list[tuple[str, str]]]:
        """The content as the host takes it."""
        found = []
        for entry in self.content:
            plain = to_json(entry) if not isinstance(entry, Mapping) else entry
            pairs = []
            for key, value in plain.items():
                if value is None:
                    continue
                if isinstance(value, (list, dict, set, tuple)):
                    raise Failure(f"the attribute {key} of an entry of {self.type_name} is not a single value; the inventory has text only")
                pairs.append((str(key), _text(value)))
            found.append(pairs)
        return found


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(to_json(value))


def items_of(value: Any) -> list[Item]:
    """What a collector returned, as items."""
    found = [value] if isinstance(value, Item) else list(value or [])
    for one in found:
        if not isinstance(one, Item):
            raise Failure(f"the collector returned {type(one).__name__}, not capstan.Item")
        if not re.fullmatch(r"\d+\.\d+", one.schema_version):
            raise Failure(f"the item {one.type_name} has the schema version `{one.schema_version}`, which is not of the form 1.0")
    return found


_declared: list[Component] = []


def declared() -> list[Component]:
    """All that was declared so far in this process."""
    return _declared


def _check_names(names: Sequence[str], what: str, example: str) -> None:
    if not names:
        raise DefinitionError(f"{what} needs a name: {example}")
    for name in names:
        if ":" not in name:
            raise DefinitionError(f"the name of {what} has a namespace, as in acme:{name}")


def _declaring(kind: Callable[..., Any], *how: Any) -> Callable[[Callable[..., Any]], Any]:
    """The decorator that makes a function a component of this kind."""

    def decorate(function: Callable[..., Any]) -> Any:
        made = kind(function, *how)
        _declared.append(made)
        return made

    return decorate


def action(
    *names: str,
    version: str,
    description: str | None = None,
    capabilities: Sequence[Capability] = (),
    children: str = "same",
    platforms: Sequence[str] = (),
    limits: Mapping[str, Any] | None = None,
) -> Callable[[Callable[..., Any]], Action]:
    """Makes a function an action: `@action("acme:rotateLogs", version="0.1.0", capabilities=[…])`.

    The function takes the context and the inputs, a dataclass, a `TypedDict` or a `dict`, and returns its outputs, a
    dataclass, a mapping or None; or a `Result`; or what `suspend` made. The description is the docstring's first paragraph.
    `children` is what programs may do beyond the action itself: `same` for no more, `any` for all that the policy grants.
    """
    _check_names(names, "an action", "@action('acme:rotateLogs', version='0.1.0')")
    return _declaring(Action, names, version, description, capabilities, children, platforms, limits)


def collector(
    *names: str,
    version: str,
    description: str | None = None,
    capabilities: Sequence[Capability] = (),
    children: str = "same",
    platforms: Sequence[str] = (),
    limits: Mapping[str, Any] | None = None,
) -> Callable[[Callable[..., Any]], Collector]:
    """Makes a function an inventory collector: `@collector("acme:applicationConfig", version="0.1.0")`.

    It takes the context and the settings, as the inputs of an action, and returns one `Item` or several.
    """
    _check_names(names, "a collector", "@collector('acme:applicationConfig', version='0.1.0')")
    return _declaring(Collector, names, version, description, capabilities, children, platforms, limits)


def state_text(state: Any) -> bytes:
    """A state as it is stored, with the name of its type, so that a union of types finds the right one again."""
    return json.dumps({"type": type(state).__name__, "state": to_json(state)}, separators=(",", ":")).encode()


def outcome(value: Any) -> Result | Suspension:
    """What an action returned, in one of two forms, checked."""
    if isinstance(value, Suspension):
        state_text(value.state)
        return value
    result = value if isinstance(value, Result) else Result(value)
    outputs = to_json(result.outputs)
    if outputs is not None and not isinstance(outputs, dict):
        raise Failure(f"an action returns a mapping, a dataclass or None, not {type(result.outputs).__name__}")
    return Result(outputs, result.status, result.exit_code)


def as_failure(error: BaseException) -> Failure:
    """A failure for any exception: of what is no failure by itself, the exception and the line of the action."""
    if isinstance(error, Failure):
        return error
    own = __file__.rsplit("/", 1)[0]
    library = inspect.__file__.rsplit("/", 1)[0]
    frames = [one for one in traceback.extract_tb(error.__traceback__) if not one.filename.startswith(own)]
    where = ""
    if frames:
        last = frames[-1]
        for one in reversed(frames):
            if not one.filename.startswith(library):
                last = one
                break
        line = f": {last.line}" if last.line else ""
        where = f" ({last.filename.rsplit('/', 1)[-1]}, line {last.lineno}, in {last.name}{line})"
    name = type(error).__name__
    text = str(error)
    lines = [f"{one.filename.rsplit('/', 1)[-1]}:{one.lineno} in {one.name}: {one.line or ''}".rstrip(": ") for one in frames[-8:]]
    return Failure(f"{name}: {text}{where}" if text else f"{name}{where}", detail={"exception": name, "traceback": lines})


def remember_source(*names: str) -> None:
    """Keeps the source of modules for tracebacks: the files are not there any more when the component runs."""
    import sys

    for name in names:
        module = sys.modules.get(name)
        path = getattr(module, "__file__", None)
        if path:
            lines = linecache.getlines(path)
            if lines:
                linecache.cache[path] = (sum(map(len, lines)), None, lines, path)

"""JSON Schema from Python types, and values of these types from JSON.

Known are `str`, `int`, `float`, `bool`, `list`, `tuple`, `set`, `dict`, `Optional` and other unions, `Literal`, `Enum`, `Path`, `Any`,
dataclasses and `TypedDict`s, nested as you like. A name like `keep_days` of a dataclass is the input `keepDays`. Documents hand over
text for most things (`{{ Days }}` is text), so `"30"` is good for an `int` and `"true"` for a `bool`.

Descriptions come from `Annotated[int, "How many days"]`, from `describe(...)`, and from the docstring of the class:
lines `keep_days: How many days` below `Attributes:`.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import inspect
import pathlib
import re
import types
import typing
from typing import Any, Mapping

from .errors import InvalidInput

_SCALARS = {str: "string", int: "integer", float: "number", bool: "boolean"}
_WORDS = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a mapping",
    "null": "nothing",
}
_LIMITS = {
    "minimum": "at least {}",
    "maximum": "at most {}",
    "pattern": "of the form {}",
    "minLength": "of at least {} characters",
    "maxLength": "of at most {} characters",
    "minItems": "of at least {} entries",
    "maxItems": "of at most {} entries",
}


@dataclasses.dataclass(frozen=True)
class Description:
    """More about a value; made by `describe`."""

    keywords: dict[str, Any]
    name: str | None = None


def describe(
    description: str | None = None,
    *,
    name: str | None = None,
    minimum: float | None = None,
    maximum: float | None = None,
    pattern: str | None = None,
    min_length: int | None = None,
    max_length: int | None = None,
    min_items: int | None = None,
    max_items: int | None = None,
    examples: list[Any] | None = None,
) -> Description:
    """More about an input, for `Annotated`: `days: Annotated[int, describe("How many days", minimum=1)] = 30`.

    `name` is the input's name where it is not the field's own in camel case.
    """
    given = {
        "description": description,
        "minimum": minimum,
        "maximum": maximum,
        "pattern": pattern,
        "minLength": min_length,
        "maxLength": max_length,
        "minItems": min_items,
        "maxItems": max_items,
        "examples": examples,
    }
    return Description({key: value for key, value in given.items() if value is not None}, name)


@dataclasses.dataclass(frozen=True)
class _Field:
    attribute: str
    name: str
    type: Any
    required: bool
    default: Any = None
    has_default: bool = False


def camel(name: str) -> str:
    """`keep_days` as `keepDays`."""
    head, *rest = name.strip("_").split("_")
    return head + "".join(part[:1].upper() + part[1:] for part in rest)


def _is_typed_dict(kind: Any) -> bool:
    return typing.is_typeddict(kind)


def _hints(kind: type) -> dict[str, Any]:
    try:
        return typing.get_type_hints(kind, include_extras=True)
    except NameError as error:
        raise TypeError(
            f"the types of {kind.__name__} cannot be resolved ({error}); define them at the top of the module"
        ) from error


def _documented(kind: type) -> tuple[str, dict[str, str]]:
    """The first paragraph of a docstring, and the descriptions of its attributes."""
    text = kind.__doc__ or ""
    if dataclasses.is_dataclass(kind) and text.startswith(kind.__name__ + "("):
        text = ""  # made by dataclass itself
    if _is_typed_dict(kind) and kind.__doc__ == dict.__doc__:
        text = ""
    lines = inspect.cleandoc(text).splitlines()
    found: dict[str, str] = {}
    last, inside, indent = None, False, 0
    for line in lines:
        stripped = line.strip()
        if re.fullmatch(r"(Attributes|Args|Arguments|Inputs|Fields):", stripped):
            inside, last = True, None
            continue
        if not inside:
            continue
        if stripped and not line.startswith((" ", "\t")):
            inside = False
            continue
        match = re.match(r"(\s+)(\w+)(?:\s*\([^)]*\))?:\s*(.*)", line)
        if match and (last is None or len(match[1]) <= indent):
            last, indent = match[2], len(match[1])
            found[last] = match[3].strip()
        elif last and stripped:
            found[last] = f"{found[last]} {stripped}".strip()
    first = " ".join(" ".join(lines).split()) if not lines else ""
    paragraph = []
    for line in lines:
        if not line.strip() or re.fullmatch(r"(Attributes|Args|Arguments|Inputs|Fields):", line.strip()):
            break
        paragraph.append(line.strip())
    return first or " ".join(paragraph), found


@functools.cache
def _fields(kind: type) -> list[_Field]:
    """The fields of a type. Known from the build on: to resolve hints takes longer than the rest of a call."""
    hints = _hints(kind)
    result = []
    if _is_typed_dict(kind):
        for name, hint in hints.items():
            # The marks of the hint itself: `__required_keys__` does not see them in modules with postponed annotations.
            required = name in kind.__required_keys__
            while typing.get_origin(hint) in (typing.Required, typing.NotRequired):
                required = typing.get_origin(hint) is typing.Required
                hint = typing.get_args(hint)[0]
            given = _extra(hint)
            result.append(_Field(name, given.name if given and given.name else name, hint, required))
        return result
    for one in dataclasses.fields(kind):
        if not one.init:
            continue
        hint = hints[one.name]
        if "description" in one.metadata:
            hint = typing.Annotated[hint, one.metadata["description"]]
        given = _extra(hint)
        name = one.metadata.get("name") or (given.name if given and given.name else camel(one.name))
        if one.default is not dataclasses.MISSING:
            result.append(_Field(one.name, name, hint, False, one.default, True))
        elif one.default_factory is not dataclasses.MISSING:
            result.append(_Field(one.name, name, hint, False, one.default_factory(), True))
        else:
            result.append(_Field(one.name, name, hint, True))
    return result


def _extra(hint: Any) -> Description | None:
    if typing.get_origin(hint) is typing.Annotated:
        for one in typing.get_args(hint)[1:]:
            if isinstance(one, Description):
                return one
    return None


def _is_object(kind: Any) -> bool:
    return isinstance(kind, type) and (dataclasses.is_dataclass(kind) or _is_typed_dict(kind))


def remember(kind: Any) -> None:
    """Looks at the fields of a type now rather than at the first value of it."""
    if _is_object(kind):
        _fields(kind)


def schema_of(kind: Any) -> dict[str, Any]:
    """The JSON Schema of a type."""
    return _schema(kind, ())


def _schema(kind: Any, outer: tuple[Any, ...]) -> dict[str, Any]:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        found = _schema(arguments[0], outer)
        for one in arguments[1:]:
            if isinstance(one, str):
                found["description"] = one
            elif isinstance(one, Description):
                found.update(one.keywords)
        return found
    if kind is Any or kind is object:
        return {}
    if kind is None or kind is type(None):
        return {"type": "null"}
    if kind in _SCALARS:
        return {"type": _SCALARS[kind]}
    if isinstance(kind, type) and issubclass(kind, pathlib.PurePath):
        return {"type": "string"}
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return _choices([one.value for one in kind])
    if origin is typing.Literal:
        return _choices(list(arguments))
    if origin in (typing.Union, types.UnionType):
        options = [_schema(one, outer) for one in arguments if one is not type(None)]
        if type(None) in arguments:
            # An absent input and one that is null are the same.
            if len(options) == 1:
                return options[0]
        plain = [one["type"] for one in options if set(one) == {"type"} and isinstance(one["type"], str)]
        if len(plain) == len(options):
            return {"type": plain}
        return {"anyOf": options}
    if kind in (list, set, tuple, frozenset):
        return {"type": "array"}
    if origin in (list, set, frozenset) or _is_sequence(origin):
        return {"type": "array", "items": _schema(arguments[0], outer)}
    if origin is tuple:
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return {"type": "array", "items": _schema(arguments[0], outer)}
        return {
            "type": "array",
            "prefixItems": [_schema(one, outer) for one in arguments],
            "minItems": len(arguments),
            "maxItems": len(arguments),
        }
    if kind is dict:
        return {"type": "object"}
    if origin is dict or _is_mapping(origin):
        if arguments[0] is not str:
            raise TypeError(f"the keys of {kind} are not `str`, as those of JSON are")
        found = {"type": "object"}
        rest = _schema(arguments[1], outer)
        if rest:
            found["additionalProperties"] = rest
        return found
    if _is_object(kind):
        if kind in outer:
            raise TypeError(f"{kind.__name__} contains itself, which inputs cannot")
        description, documented = _documented(kind)
        properties, required = {}, []
        for one in _fields(kind):
            entry = _schema(one.type, (*outer, kind))
            if "description" not in entry and one.attribute in documented:
                entry["description"] = documented[one.attribute]
            if one.has_default and one.default is not None:
                entry["default"] = to_json(one.default)
            if one.required and not _allows_none(one.type):
                required.append(one.name)
            if one.name in properties:
                raise TypeError(f"two fields of {kind.__name__} are named `{one.name}`")
            properties[one.name] = entry
        found = {"type": "object", "properties": properties, "additionalProperties": False}
        if required:
            found["required"] = required
        if description:
            found["description"] = description
        return found
    raise TypeError(
        f"{kind!r} has no JSON Schema: use str, int, float, bool, list, dict, Optional, Literal, Enum, a dataclass or a TypedDict"
    )


def _choices(values: list[Any]) -> dict[str, Any]:
    kinds = {_SCALARS.get(type(one)) for one in values}
    return {**({"type": kinds.pop()} if len(kinds) == 1 and None not in kinds else {}), "enum": values}


def _is_sequence(origin: Any) -> bool:
    import collections.abc as abc

    return origin in (abc.Sequence, abc.Iterable, abc.Collection, abc.MutableSequence)


def _is_mapping(origin: Any) -> bool:
    import collections.abc as abc

    return origin in (abc.Mapping, abc.MutableMapping)


def _allows_none(kind: Any) -> bool:
    if typing.get_origin(kind) is typing.Annotated:
        return _allows_none(typing.get_args(kind)[0])
    return kind is Any or (
        typing.get_origin(kind) in (typing.Union, types.UnionType) and type(None) in typing.get_args(kind)
    )


def _word(value: Any) -> str:
    for kind, word in ((bool, "boolean"), (str, "string"), (int, "integer"), (float, "number"), (list, "array"), (dict, "object")):
        if isinstance(value, kind):
            return _WORDS[word]
    return _WORDS["null"]


def _wrong(where: str, wanted: str, value: Any) -> InvalidInput:
    shown = f"`{value}`" if isinstance(value, (str, int, float)) and len(str(value)) < 60 else _word(value)
    if isinstance(value, bool):
        shown = f"`{str(value).lower()}`"
    return InvalidInput(f"{where} is {wanted}, not {shown}", key=where)


def from_json(kind: Any, value: Any, where: str = "the input") -> Any:
    """A value of a type from JSON; `InvalidInput` that names the key when it does not fit."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        result = from_json(arguments[0], value, where)
        for one in arguments[1:]:
            if isinstance(one, Description):
                _check_limits(one.keywords, result, where)
        return result
    if kind is Any or kind is object:
        return value
    if kind is None or kind is type(None):
        if value is not None:
            raise _wrong(where, "nothing", value)
        return None
    if kind in _SCALARS:
        return _scalar(kind, value, where)
    if isinstance(kind, type) and issubclass(kind, pathlib.PurePath):
        return kind(_scalar(str, value, where))
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return kind(_choice([one.value for one in kind], value, where))
    if origin is typing.Literal:
        return _choice(list(arguments), value, where)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        options = [one for one in arguments if one is not type(None)]
        # A value that is of one of the types already is not turned into another.
        for one in options:
            if one in _SCALARS and type(value) is one:
                return value
        problem: InvalidInput | None = None
        for one in options:
            try:
                return from_json(one, value, where)
            except InvalidInput as error:
                problem = error
        if problem and len(options) == 1:
            raise problem
        raise _wrong(where, " or ".join(dict.fromkeys(_kind_word(one) for one in options)), value)
    if kind in (list, set, tuple, frozenset) or origin in (list, set, frozenset, tuple) or _is_sequence(origin):
        if not isinstance(value, list):
            raise _wrong(where, "a list", value)
        target = kind if origin is None else origin
        if origin is tuple and not (len(arguments) == 2 and arguments[1] is Ellipsis):
            if len(value) != len(arguments):
                raise InvalidInput(f"{where} has {len(value)} entries, not {len(arguments)}", key=where)
            return tuple(from_json(one, each, f"{where}[{i}]") for i, (one, each) in enumerate(zip(arguments, value)))
        inner = arguments[0] if arguments else Any
        items = [from_json(inner, each, f"{where}[{i}]") for i, each in enumerate(value)]
        return target(items) if target in (set, frozenset, tuple) else items
    if kind is dict or origin is dict or _is_mapping(origin):
        if not isinstance(value, dict):
            raise _wrong(where, "a mapping", value)
        inner = arguments[1] if arguments else Any
        return {key: from_json(inner, each, f"{where}.{key}") for key, each in value.items()}
    if _is_object(kind):
        return _object(kind, value, where)
    raise TypeError(f"{kind!r} cannot be made from JSON")


def _kind_word(kind: Any) -> str:
    if typing.get_origin(kind) is typing.Annotated:
        kind = typing.get_args(kind)[0]
    try:
        found = schema_of(kind)
    except TypeError:
        return str(kind)
    if "enum" in found:
        return " or ".join(f"`{one}`" for one in found["enum"])
    return _WORDS.get(found.get("type", ""), "something else")


def _scalar(kind: Any, value: Any, where: str) -> Any:
    word = _WORDS[_SCALARS[kind]]
    if isinstance(value, (list, dict)) or value is None:
        raise _wrong(where, word, value)
    if kind is str:
        return value if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)
    if kind is bool:
        text = str(value).strip().lower()
        if text in ("true", "false"):
            return text == "true"
        raise _wrong(where, word, value)
    if isinstance(value, bool):
        raise _wrong(where, word, value)
    try:
        if kind is int:
            if isinstance(value, float):
                if not value.is_integer():
                    raise ValueError
                return int(value)
            if isinstance(value, str) and "_" in value:
                raise ValueError
            return int(value)
        return float(value)
    except (ValueError, OverflowError):
        raise _wrong(where, word, value) from None


def _choice(values: list[Any], value: Any, where: str) -> Any:
    for one in values:
        if one == value and isinstance(one, bool) == isinstance(value, bool):
            return one
    for one in values:
        if isinstance(value, (str, int, float)) and str(one).lower() == str(value).lower():
            return one
    raise _wrong(where, " or ".join(f"`{one}`" for one in values), value)


def _check_limits(keywords: Mapping[str, Any], value: Any, where: str) -> None:
    if value is None:
        return
    text = value if isinstance(value, str) else None
    size = len(value) if isinstance(value, (str, list, dict)) else None
    number = value if isinstance(value, (int, float)) and not isinstance(value, bool) else None
    checks = {
        "minimum": number is not None and number < keywords.get("minimum", number),
        "maximum": number is not None and number > keywords.get("maximum", number),
        "pattern": text is not None and "pattern" in keywords and not re.search(keywords["pattern"], text),
        "minLength": text is not None and size < keywords.get("minLength", 0),
        "maxLength": text is not None and size > keywords.get("maxLength", size),
        "minItems": isinstance(value, list) and size < keywords.get("minItems", 0),
        "maxItems": isinstance(value, list) and size > keywords.get("maxItems", size),
    }
    for keyword, broken in checks.items():
        if broken:
            raise _wrong(where, _LIMITS[keyword].format(keywords[keyword]), value)


def _object(kind: type, value: Any, where: str) -> Any:
    if not isinstance(value, dict):
        raise _wrong(where, "a mapping", value)
    prefix = "" if where == "the input" else f"{where}."
    fields = _fields(kind)
    # Keys are read without regard to case, as SSM's own agent does; a field's own name is good as well.
    by_name = {name.lower(): one for one in fields for name in (one.attribute, one.name)}
    found: dict[str, Any] = {}
    for key, each in value.items():
        one = by_name.get(key.lower())
        if one is None:
            known = ", ".join(f"`{each.name}`" for each in fields) or "none"
            raise InvalidInput(f"there is no input `{prefix}{key}`; there are {known}", key=f"{prefix}{key}")
        if each is None and (one.has_default or not one.required):
            continue
        found[one.attribute] = from_json(one.type, each, f"{prefix}{one.name}")
    for one in fields:
        if one.attribute in found:
            continue
        if one.required and _allows_none(one.type) and not _is_typed_dict(kind):
            found[one.attribute] = None
        elif one.required:
            raise InvalidInput(f"the input `{prefix}{one.name}` is missing", key=f"{prefix}{one.name}")
    if _is_typed_dict(kind):
        return found
    try:
        return kind(**found)
    except InvalidInput:
        raise
    except (ValueError, TypeError) as error:
        raise InvalidInput(f"{where}: {error}", key=where) from error


def to_json(value: Any) -> Any:
    """JSON of a value: dataclasses as mappings with their inputs' names, enums by value, paths as text."""
    if value is None or isinstance(value, (bool, str)) and not isinstance(value, enum.Enum):
        return value
    if isinstance(value, enum.Enum):
        return to_json(value.value)
    if isinstance(value, (int, float)):
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {one.name: to_json(getattr(value, one.attribute)) for one in _fields(type(value))}
    if isinstance(value, Mapping):
        return {str(key): to_json(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_json(each) for each in value]
    if isinstance(value, (set, frozenset)):
        return sorted((to_json(each) for each in value), key=str)
    if isinstance(value, pathlib.PurePath):
        return str(value)
    if hasattr(value, "isoformat"):
        return value.isoformat()
    raise TypeError(f"{value!r} of type {type(value).__name__} cannot be written as JSON")

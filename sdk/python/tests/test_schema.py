"""The schema that follows from types, and what becomes of inputs."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired, Optional, TypedDict

import pytest

from capstan import InvalidInput, describe
from capstan.schema import from_json, schema_of, to_json


class Level(enum.Enum):
    LOW = "low"
    HIGH = "high"


@dataclass
class Target:
    """One target.

    Attributes:
        host: Where it is,
            with its domain.
        port: A port.
    """

    host: str
    port: int = 443


@dataclass
class Inputs:
    """What to do.

    More about it.
    """

    folder: Path
    keep_days: Annotated[int, describe("How many days", minimum=1, maximum=365)] = 30
    dry_run: bool = False
    level: Level = Level.LOW
    mode: Literal["copy", "move"] = "copy"
    targets: list[Target] = field(default_factory=list)
    labels: dict[str, str] = field(default_factory=dict)
    note: Optional[str] = None
    size: int | str = "1M"
    ratio: Annotated[float, "A share"] = 0.5
    raw: Any = None
    renamed: str = field(default="x", metadata={"name": "Other", "description": "Named otherwise"})


class Settings(TypedDict):
    path: str
    deep: NotRequired[bool]


def test_schema_of_a_dataclass():
    schema = schema_of(Inputs)
    assert schema["required"] == ["folder"]
    assert schema["description"] == "What to do."
    assert schema["additionalProperties"] is False
    properties = schema["properties"]
    assert properties["keepDays"] == {
        "type": "integer",
        "description": "How many days",
        "minimum": 1,
        "maximum": 365,
        "default": 30,
    }
    assert properties["level"] == {"type": "string", "enum": ["low", "high"], "default": "low"}
    assert properties["mode"] == {"type": "string", "enum": ["copy", "move"], "default": "copy"}
    assert properties["labels"] == {"type": "object", "additionalProperties": {"type": "string"}, "default": {}}
    assert properties["note"] == {"type": "string"}
    assert properties["size"] == {"type": ["integer", "string"], "default": "1M"}
    assert properties["ratio"]["description"] == "A share"
    assert properties["raw"] == {}
    assert properties["Other"] == {"type": "string", "default": "x", "description": "Named otherwise"}
    target = properties["targets"]["items"]
    assert target["required"] == ["host"]
    assert target["properties"]["host"]["description"] == "Where it is, with its domain."
    assert target["properties"]["port"] == {"type": "integer", "description": "A port.", "default": 443}


def test_schema_of_a_typed_dict():
    schema = schema_of(Settings)
    assert schema["required"] == ["path"]
    assert schema["properties"]["deep"] == {"type": "boolean"}
    assert from_json(Settings, {"Path": "/x", "deep": "TRUE"}) == {"path": "/x", "deep": True}


def test_values():
    value = from_json(
        Inputs,
        {
            "folder": "/srv",
            "KEEPDAYS": "7",
            "dry_run": "true",
            "level": "HIGH",
            "targets": [{"host": "a", "port": "80"}, {"host": "b"}],
            "labels": {"a": 1},
            "note": None,
            "size": 5,
        },
    )
    assert value == Inputs(
        Path("/srv"),
        7,
        True,
        Level.HIGH,
        "copy",
        [Target("a", 80), Target("b")],
        {"a": "1"},
        size=5,
    )
    assert to_json(value)["keepDays"] == 7
    assert to_json(value)["targets"][1] == {"host": "b", "port": 443}


@pytest.mark.parametrize(
    ("change", "key", "words"),
    [
        ({"keepDays": "x"}, "keepDays", "keepDays is a whole number, not `x`"),
        ({"keepDays": 0}, "keepDays", "keepDays is at least 1, not `0`"),
        ({"keepDays": True}, "keepDays", "keepDays is a whole number, not `true`"),
        ({"keepDays": 1.5}, "keepDays", "keepDays is a whole number, not `1.5`"),
        ({"dryRun": "yes"}, "dryRun", "dryRun is true or false, not `yes`"),
        ({"level": "middle"}, "level", "level is `low` or `high`, not `middle`"),
        ({"targets": {}}, "targets", "targets is a list, not a mapping"),
        ({"targets": [{"port": 1}]}, "targets[0].host", "the input `targets[0].host` is missing"),
        ({"targets": [{"host": "a", "prot": 1}]}, "targets[0].prot", "there is no input `targets[0].prot`"),
        ({"labels": {"a": []}}, "labels.a", "labels.a is text, not a list"),
        ({"folder": None}, "folder", "folder is text, not nothing"),
        ({"size": [1]}, "size", "size is a whole number or text, not a list"),
        ({"nothing": 1}, "nothing", "there is no input `nothing`"),
    ],
)
def test_errors_name_the_key(change, key, words):
    with pytest.raises(InvalidInput) as caught:
        from_json(Inputs, {"folder": "/srv", **change})
    assert caught.value.key == key
    assert words in str(caught.value)


def test_a_missing_input():
    with pytest.raises(InvalidInput, match="the input `folder` is missing"):
        from_json(Inputs, {})


def test_types_that_have_no_schema():
    with pytest.raises(TypeError, match="has no JSON Schema"):
        schema_of(list[complex])
    with pytest.raises(TypeError, match="keys"):
        schema_of(dict[int, str])

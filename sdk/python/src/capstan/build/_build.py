"""The steps of a build."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Sequence

from .. import _define
from . import component, image

MANIFEST_SECTION = "capstan:manifest@1"

# Which interface a request of the manifest is for.
_INTERFACES = {
    "programs": "process",
    "files": "files",
    "hosts": "http",
    "signing": "http",
    "parameters": "parameters",
    "secrets": "secrets",
    "documents": "control",
}
_RESERVED = {"capstan", "capstan_entry", "wit_world", "componentize_py_types", "poll_loop"}


class BuildError(Exception):
    """Why there is no component, and what to do."""


@dataclass(frozen=True)
class Built:
    """A component that was written."""

    manifest: dict[str, Any]
    names: list[str]
    imports: list[str]
    # How many objects of its image are marked as immortal.
    lasting: int


def wit_folder() -> Path:
    """The contract: the copy inside of an installed package, or the repository's own."""
    here = Path(__file__).resolve().parent.parent
    for folder in (here / "_wit", *(one / "wit" for one in here.parents)):
        if (folder / "host" / "host.wit").is_file():
            return folder
    raise BuildError("the package lacks its WIT files; install capstan-sdk again")


def _module(source: Path) -> tuple[str, Path]:
    source = source.resolve()
    if source.is_dir():
        if not (source / "__init__.py").is_file():
            raise BuildError(f"{source} is no package: it has no __init__.py; name the .py file of the action")
        name = source.name
    elif source.suffix == ".py" and source.is_file():
        name = source.stem
    else:
        raise BuildError(f"{source} is neither a .py file nor a package")
    if not name.isidentifier() or name in _RESERVED:
        raise BuildError(f"the name `{name}` cannot be used for a module of an action; rename {source}")
    return name, source.parent


def _load(source: Path, paths: Sequence[Path]) -> tuple[str, Path, _define.Component]:
    name, folder = _module(source)
    sys.path[:0] = [str(folder), *(str(path.resolve()) for path in paths)]
    before = len(_define.declared())
    try:
        importlib.import_module(name)
    except _define.DefinitionError as error:
        raise BuildError(f"{source}: {error}") from error
    except Exception as error:
        lines = "".join(traceback.format_exception(error)).strip()
        raise BuildError(f"{source} cannot be imported:\n{lines}") from error
    found = _define.declared()[before:]
    if not found:
        raise BuildError(f"{source} declares no action and no collector: put @capstan.action(…) before a function")
    if len(found) > 1:
        names = ", ".join(one.__name__ for one in found)
        raise BuildError(f"{source} declares {len(found)} actions or collectors ({names}); a component holds one")
    return name, folder, found[0]


def manifest_of(source: Path, paths: Sequence[Path] = ()) -> dict[str, Any]:
    """The manifest of a module, without a build."""
    return _load(source, paths)[2].manifest()


def world(capabilities: dict[str, Any], is_action: bool) -> str:
    """A world that imports no more than the manifest requests something of."""
    interfaces = {"step", *(_INTERFACES[kind] for kind, wanted in capabilities.items() if kind in _INTERFACES and wanted)}
    if not is_action and "control" in interfaces:
        raise BuildError("a collector cannot read or run documents; take the Document away")
    export = "capstan:action/action@0.1.0" if is_action else "capstan:inventory/collector@0.1.0"
    lines = [f"  import capstan:host/{name}@0.1.0;" for name in sorted(interfaces)]
    lines += [f"  export {export};", "  export capstan:action/describe@0.1.0;"]
    return "package capstan:built;\nworld built {\n" + "\n".join(lines) + "\n}\n"


def _entry(module: str, is_action: bool) -> str:
    exported, base = (
        ("CapstanActionAction010", "ActionExport") if is_action else ("CapstanInventoryCollector010", "CollectorExport")
    )
    return (
        f"import {module}\n"
        "from capstan import _define, _guest\n"
        f"_guest.prepare(_define.declared()[-1], [{module!r}])\n"
        f"class {exported}(_guest.{base}): pass\n"
        "class CapstanActionDescribe010(_guest.Describe): pass\n"
    )


def build(source: Path, output: Path, paths: Sequence[Path] = ()) -> Built:
    """Makes the component."""
    name, folder, found = _load(Path(source), paths)
    is_action = isinstance(found, _define.Action)
    manifest = found.manifest()
    text = json.dumps(manifest, ensure_ascii=False).encode()
    if len(text) > 64 << 10:
        raise BuildError(f"the manifest has {len(text)} bytes, more than 65536; shorten descriptions")
    with tempfile.TemporaryDirectory(prefix="capstan-build-") as temporary:
        work = Path(temporary)
        (work / "wit" / "deps").mkdir(parents=True)
        (work / "wit" / "built.wit").write_text(world(found.capabilities, is_action))
        for package in ("host", "action", "inventory"):
            if package != "inventory" or not is_action:
                shutil.copytree(wit_folder() / package, work / "wit" / "deps" / package)
        (work / "app").mkdir()
        (work / "app" / "capstan_entry.py").write_text(_entry(name, is_action))
        # The SDK's own folder holds all that is installed beside it, or else the SDK alone.
        sdk = Path(__file__).resolve().parents[2]
        python_paths = [work / "app", folder, *paths, sdk]
        raw = work / "raw.wasm"
        _componentize(work / "wit", python_paths, raw)
        data = raw.read_bytes()
    # The host gives a component neither variables nor arguments, whatever it asks for.
    unwanted = ["wasi:sockets", "wasi:cli/environment", *([] if found.capabilities.get("files") else ["wasi:filesystem"])]
    try:
        data = component.without_interfaces(data, *unwanted)
        data, lasting = image.with_lasting_objects(data)
        data = component.with_custom_section(data, MANIFEST_SECTION, text)
        imported = component.imports(data)
    except component.ComponentError as error:
        raise BuildError(f"the component that componentize-py made is of an unknown shape: {error}") from error
    output = Path(output)
    output.parent.mkdir(parents=True, exist_ok=True)
    partial = output.with_name(output.name + ".part")
    partial.write_bytes(data)
    os.replace(partial, output)
    return Built(manifest, found.names, imported, lasting)


def _componentize(wit: Path, paths: Sequence[Path], output: Path) -> None:
    try:
        import componentize_py  # noqa: F401
    except ImportError as error:
        raise BuildError("componentize-py is missing: pip install componentize-py") from error
    script = "import sys; from componentize_py import script; sys.argv[0] = 'componentize-py'; sys.exit(script())"
    command = [sys.executable, "-c", script, "--quiet", "--full-names", "-d", str(wit), "-w", "built", "componentize"]
    for path in paths:
        command += ["-p", str(path)]
    command += ["capstan_entry", "-o", str(output)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        # What follows is about componentize-py itself.
        for mark in ("Caused by:", "Stack backtrace:"):
            if mark in lines:
                lines = lines[: lines.index(mark)]
        for at, line in enumerate(lines):
            if "AssertionError: " in line:
                lines = [line.split("AssertionError: ", 1)[1], *lines[at + 1 :]]
                break
        raise BuildError("componentize-py made no component:\n" + "\n".join(lines[-30:]))

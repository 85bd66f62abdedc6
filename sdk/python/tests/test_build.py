"""Components that are really built: what they import, and the manifest in them."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap

import pytest

from capstan.build import BuildError, build
from capstan._lasting import MARK
from capstan.build import component, image
from capstan.build._build import MANIFEST_SECTION, wit_folder, world


def module(folder, name, text):
    path = folder / f"{name}.py"
    path.write_text(textwrap.dedent(text))
    return path


def run_build(source, output):
    """In a process of its own, as one build imports one module."""
    command = [sys.executable, "-m", "capstan.build", str(source), "-o", str(output)]
    return subprocess.run(command, capture_output=True, text=True)


def plain(names):
    return {name.split("@")[0] for name in names}


def test_an_action_that_asks_for_nothing_imports_nothing(tmp_path):
    source = module(
        tmp_path,
        "quiet",
        '''
        from capstan import action

        @action("acme:quiet", version="0.1.0")
        def quiet(context):
            """Does nothing."""
        ''',
    )
    output = tmp_path / "quiet.wasm"
    done = run_build(source, output)
    assert done.returncode == 0, done.stderr
    data = output.read_bytes()
    imports = plain(component.imports(data))
    assert {name for name in imports if name.startswith("capstan:host/")} == {"capstan:host/types", "capstan:host/step"}
    refused = ("wasi:filesystem/", "wasi:sockets/", "wasi:http/", "wasi:cli/environment")
    assert not [name for name in imports if name.startswith(refused)]
    manifest = json.loads(component.custom_section(data, MANIFEST_SECTION))
    assert manifest["actions"] == ["acme:quiet"] and "capabilities" not in manifest
    # The manifest is put in once, whatever was there.
    again = component.with_custom_section(data, MANIFEST_SECTION, b"{}")
    assert component.custom_section(again, MANIFEST_SECTION) == b"{}"
    assert len(again) < len(data)
    # The objects of its image are found and marked; without that each step costs a third more.
    assert image.with_lasting_objects(data) == (data, 0)
    mark = data.rindex(MARK) + len(MARK)
    _, _, count = (int.from_bytes(data[mark + at : mark + at + 4], "little") for at in (0, 4, 8))
    assert count > 10_000


def test_a_collector_imports_what_it_asks_for(tmp_path):
    source = module(
        tmp_path,
        "looks",
        '''
        from capstan import collector, Files, Item, Program

        @collector(
            "acme:looks",
            version="0.1.0",
            capabilities=[
                Files("/etc/app", "read-only", reason="reads the configuration"),
                Program("uname", "/usr/bin/uname", reason="asks for the system"),
            ],
        )
        def looks(context):
            """Looks."""
            return Item("Custom:Looks", [])
        ''',
    )
    output = tmp_path / "looks.wasm"
    done = run_build(source, output)
    assert done.returncode == 0, done.stderr
    data = output.read_bytes()
    imports = plain(component.imports(data))
    assert {"capstan:host/files", "capstan:host/process", "wasi:filesystem/preopens"} <= imports
    refused = ("wasi:sockets/", "wasi:cli/environment", "capstan:host/http", "capstan:host/secrets")
    assert not [name for name in imports if name.startswith(refused)]
    assert json.loads(component.custom_section(data, MANIFEST_SECTION))["collectors"] == ["acme:looks"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = 1", "declares no action"),
        ("import nothing_like_this", "cannot be imported"),
        (
            '''
            from capstan import action
            @action("a:b", version="1.0.0")
            def one(context):
                """One."""
            @action("a:c", version="1.0.0")
            def two(context):
                """Two."""
            ''',
            "a component holds one",
        ),
    ],
)
def test_what_cannot_be_built(tmp_path, text, words):
    done = run_build(module(tmp_path, "broken", text), tmp_path / "broken.wasm")
    assert done.returncode == 1
    assert done.stderr.startswith("error: ") and words in done.stderr


def test_names_and_worlds(tmp_path):
    with pytest.raises(BuildError, match="cannot be used"):
        build(module(tmp_path, "capstan", ""), tmp_path / "x.wasm")
    with pytest.raises(BuildError, match="neither"):
        build(tmp_path / "absent.py", tmp_path / "x.wasm")
    with pytest.raises(BuildError, match="collector"):
        world({"documents": [{}]}, is_action=False)
    assert "import capstan:host/http@0.1.0;" in world({"signing": [{}]}, is_action=True)


def test_the_contract_is_the_repository_s():
    here = wit_folder()
    for parent in here.parents:
        original = parent / "wit" / "host" / "host.wit"
        if original.is_file():
            assert (here / "host" / "host.wit").read_bytes() == original.read_bytes()

"""The built component in the real host, which `$CAPSTAN` names."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap

import pytest

from capstan.testing import Answer, File, HarnessError, Response, World

SOURCE = '''
    import datetime, os, time
    from capstan import action, files, http, process, secrets, step, Denied, Event, Files, Host, Program, Secret, suspend

    @action(
        "acme:tour",
        version="0.1.0",
        capabilities=[
            Files("${inputs.folder}", "read-write", reason="packs there"),
            Files("/etc/tour", "read", reason="looks", optional=True),
            Program("gzip", ["/usr/bin/gzip"], arguments=["{path}"], reason="packs"),
            Host("https://hooks.example.com/", methods=["POST"], reason="tells"),
            Secret("/tour/*", uses=["header"], reason="proves"),
        ],
    )
    def tour(context, inputs: dict):
        """Looks at everything."""
        try:
            files.read_text("/etc/tour")
        except Denied as denied:
            step.log("warn", "not there", target=denied.target)
        names = sorted(os.listdir(inputs["folder"]))
        ended = [process.run(["gzip", f"{inputs['folder']}/{name}"]).returncode for name in names]
        time.sleep(60)
        return suspend({"names": names, "ended": ended}, signal="go", after=3600, reason="asks first")

    @tour.resume
    def told(context, state: dict, event: Event):
        with open("/srv/told", "w") as file:
            file.write(event.kind)
        answer = http.post("https://hooks.example.com/T1", json=state, headers={"x-key": secrets.get("/tour/key")})
        now = datetime.datetime.now(datetime.timezone.utc)
        os.reload_environ()  # asks again, after what the build kept
        return {"status": answer.status_code, "at": now.isoformat(), "environment": dict(os.environ), **state}
'''


@pytest.fixture(scope="module")
def component(tmp_path_factory):
    host = os.environ.get("CAPSTAN") or "capstan"
    if not shutil.which(host):
        pytest.skip("left out: neither $CAPSTAN nor PATH has a capstan")
    folder = tmp_path_factory.mktemp("tour")
    source, output = folder / "tour.py", folder / "tour.wasm"
    source.write_text(textwrap.dedent(SOURCE))
    done = subprocess.run([sys.executable, "-m", "capstan.build", str(source), "-o", str(output)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return output


def world(**changes):
    given = {
        "files": {"/etc/tour": "", "/srv/a": "one", "/srv/b": File(b"\xff", modified="2020-01-01T00:00:00Z", mode=0o600)},
        "programs": {"gzip": [Answer(writes={"/srv/a.gz": b"\x1f\x8b"}, removes=["/srv/a"]), (3, "", "no\n")]},
        "responses": {"POST https://hooks.example.com/*": [Response(204, times=1), Response(500)]},
        "secrets": {"/tour/key": "hunter2-hunter2"},
        "now": "2026-01-31T12:00:00Z",
        **changes,
    }
    return World(**given)


def test_a_component_in_a_world(component):
    run = world(deny={"files": ["/etc/tour"]}).run({"folder": "/srv"}, component=component).assert_success()
    told = {"status": 204, "at": "2026-01-31T13:01:00+00:00", "environment": {}}
    assert run.outputs == {**told, "names": ["a", "b"], "ended": [0, 3]}
    assert [one.arguments for one in run.programs] == [["/srv/a"], ["/srv/b"]]
    assert run.files == {"/srv/a": None, "/srv/a.gz": b"\x1f\x8b", "/srv/told": b"timer"}
    assert run.denied("files", "/etc/tour") and run.logs == [("warn", "not there", {"target": "/etc/tour"})]
    (request,) = run.requests
    assert request.json() == {"names": ["a", "b"], "ended": [0, 3]}
    assert request.headers["x-key"] == "{{secret:/tour/key}}" and run.secrets[0][0] == "/tour/key"
    assert (run.waits[0].resumed_by, run.waits[0].at) == ("timer", "2026-01-31T13:01:00Z")
    again = world(deny={"files": ["/etc/tour"]}).run({"folder": "/srv"}, component=component)
    assert run.fuel == again.fuel > 10_000_000


def test_a_signal_and_what_is_not_answered(component):
    run = world(signals=[("go", {"by": "Ada"})], responses={}).run({"folder": "/srv"}, component=component)
    assert run.waits[0].signal == "go" and run.files["/srv/told"] == b"signal"
    assert run.unanswered == ["the test has no answer to POST https://hooks.example.com/T1; it has answers to none at all"]
    with pytest.raises(AssertionError, match="unanswered: the test has no answer"):
        run.assert_success()


def test_limits_and_policies(component):
    run = world(limits={"fuel": 1_000_000}).run({"folder": "/srv"}, component=component)
    assert (run.status, run.detail) == ("Failed", "FuelExhausted")
    run = world(policy="version: 1").run({"folder": "/srv"}, component=component)
    assert run.detail == "AccessDenied" and run.denied("files", "/srv") and run.fuel == 0
    with pytest.raises(HarnessError, match="serves no action acme:other"):
        world().run(action="acme:other", component=component)


def test_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.delenv("CAPSTAN_COMPONENT", raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(HarnessError, match=r"has `output` in \[tool.capstan\]"):
        World().run()
    (tmp_path / "pyproject.toml").write_text('[tool.capstan]\nsource = "a.py"\noutput = "a.wasm"\n')
    with pytest.raises(HarnessError, match="a.wasm; run `capstan plugin build` first"):
        World().run()
    (tmp_path / "a.wasm").write_bytes(b"")
    monkeypatch.setenv("CAPSTAN", "/absent/capstan")
    with pytest.raises(HarnessError, match=r"there is no /absent/capstan .* name its program in \$CAPSTAN"):
        World().run()
    with pytest.raises(TypeError, match="a function is for FakeHost"):
        World(programs={"gzip": lambda command: 0})

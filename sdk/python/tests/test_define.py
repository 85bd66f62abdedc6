"""Decorators, manifests, calls and failures."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest

import capstan
from capstan import Denied, Event, InvalidInput, Item, Result, Suspension, files, http, process, secrets, suspend
from capstan import _define
from capstan.testing import FakeHost, collect, resume, start


@dataclass
class Inputs:
    url: str
    tries: int = 3


@dataclass
class Waiting:
    url: str
    left: int


@dataclass
class Approving:
    by: list[str]


@capstan.action(
    "acme:check",
    version="1.2.3",
    capabilities=[
        capstan.Files("${inputs.folder}", ["read", "list"], reason="reads", optional=True),
        capstan.Program("gzip", "/usr/bin/gzip", arguments=["{path}"], reason="packs"),
        capstan.Host("${inputs.url}", methods=["get"], reason="asks"),
        capstan.Secret("token", uses=["header"], hosts=["https://a"], reason="signs in"),
    ],
    children="any",
    platforms=["Linux"],
)
def check(context: capstan.Context, inputs: Inputs):
    """Checks a service
    until it is well.

    More that nobody reads.
    """
    if http.get(inputs.url).ok:
        return {"healthy": True}
    return suspend(Waiting(inputs.url, inputs.tries), after=30, signal="skip", reason="waits for the service")


@check.resume
def again(context: capstan.Context, state: Waiting | Approving, event: Event):
    if isinstance(state, Approving):
        return {"by": state.by}
    if event.kind == "signal":
        return suspend(Approving(["me"]), signal=["a", "b"], reason="waits for a word")
    return Result({"left": state.left - 1}, "failed", 4)


@capstan.collector("acme:config", version="0.1.0", description="Finds files.")
def config(context: capstan.Context):
    return Item("Custom:Config", [{"name": "a", "size": 3, "on": True, "gone": None}])


def test_manifest():
    manifest = check.manifest()
    assert manifest["actions"] == ["acme:check"]
    assert manifest["description"] == "Checks a service until it is well."
    assert manifest["platforms"] == ["Linux"]
    assert manifest["capabilities"] == {
        "files": [{"path": "${inputs.folder}", "access": ["read", "list"], "reason": "reads", "optional": True}],
        "programs": {"gzip": {"paths": ["/usr/bin/gzip"], "arguments": ["{path}"], "reason": "packs"}},
        "hosts": [{"url": "${inputs.url}", "methods": ["GET"], "reason": "asks"}],
        "secrets": [{"name": "token", "uses": ["header"], "hosts": ["https://a"], "reason": "signs in"}],
        "children": "any",
    }
    assert config.manifest()["collectors"] == ["acme:config"]
    assert "actions" not in config.manifest()


def test_done_and_waiting():
    with FakeHost(responses={"GET https://a/": 200}):
        assert start(check, {"url": "https://a/"}) == Result({"healthy": True})
    with FakeHost(responses={"GET https://a/": 503}):
        waiting = start(check, {"url": "https://a/", "tries": "2"})
    assert isinstance(waiting, Suspension) and waiting.signals == ("skip",) and waiting.at
    assert resume(check, waiting) == Result({"left": 1}, "failed", 4)
    second = resume(check, waiting, Event("signal", "skip"))
    assert second.at is None and second.signals == ("a", "b")
    assert resume(check, second) == Result({"by": ["me"]})


def test_collector():
    (item,) = collect(config)
    assert item.entries() == [[("name", "a"), ("size", "3"), ("on", "true")]]


def test_inputs_are_checked():
    with pytest.raises(InvalidInput, match="`url` is missing"):
        start(check, {})


def test_a_denial_can_be_caught():
    with FakeHost(denied=["https://a/"]), pytest.raises(Denied) as caught:
        start(check, {"url": "https://a/"})
    assert caught.value.capability == "hosts" and caught.value.target == "https://a/"
    assert isinstance(caught.value, PermissionError)


def test_programs():
    with FakeHost(programs={"gzip": lambda command: (3, "out", "first\nlast\n")}) as host:
        done = process.run(["gzip", "/a"], capture_output=True, text=True, env={"A": "b", "P": secrets.Ref("p")}, input="x")
        assert (done.returncode, done.stdout, done.stderr) == (3, "out", "first\nlast\n")
        with pytest.raises(process.CalledProcessError, match="gzip ended with exit code 3: last"):
            process.run(["gzip", "/a"], stderr=process.PIPE, check=True)
        with pytest.raises(TypeError, match="no shell"):
            process.run("gzip /a")
    assert host.commands[0]["environment"] == [("A", "plain", "b"), ("P", "secret", "p")]
    assert host.commands[0]["stdin"] == ("bytes", b"x")


def test_files():
    with FakeHost(files={"/a/b": "one"}) as host:
        files.append("/a/b", "two")
        files.write_text("/a/c", "new")
        assert files.read_text("/a/b") == "onetwo"
        assert [one.name for one in files.list_directory("/a")] == ["b", "c"]
        assert not files.exists("/a/d")
        with pytest.raises(FileNotFoundError):
            files.stat("/a/d")
        with pytest.raises(KeyError), files.create("/a/e") as writer:
            writer.write("half")
            raise KeyError
    assert set(host.files) == {"/a/b", "/a/c"}


def test_requests():
    with FakeHost(responses={"POST https://a/?q=1": (200, {"ok": 1})}) as host:
        response = http.post("https://a/", params={"q": 1}, json={"x": 1}, auth=http.Bearer("token"))
        assert response.json() == {"ok": 1} and response.headers["Content-Type"] == "application/json"
    assert host.requests[0]["authorization"] == ("bearer", "token")
    with FakeHost(responses={"https://a/": 404}), pytest.raises(http.HTTPError, match="status 404"):
        http.get("https://a/").raise_for_status()


def test_no_host():
    with pytest.raises(capstan.NotInHost, match="FakeHost"):
        process.run(["gzip"])


@pytest.mark.parametrize(
    ("declare", "words"),
    [
        (lambda: capstan.action("rotate", version="1.0.0"), "namespace"),
        (lambda: capstan.action("a:b", version="1.0")(check.function), "not of the form"),
        (lambda: capstan.action("a:b", version="1.0.0")(lambda context: None), "needs a description"),
        (lambda: capstan.Files("relative", reason="x"), "not absolute"),
        (lambda: capstan.Files("/a", "destroy", reason="x"), "no access to files"),
        (lambda: capstan.Host("*", reason=" "), "needs a reason"),
    ],
)
def test_what_is_declared_wrongly(declare, words):
    with pytest.raises((TypeError, ValueError), match=words):
        declare()


def test_async_is_refused():
    with pytest.raises(TypeError, match="async"):

        @capstan.action("a:b", version="1.0.0")
        async def wait(context):
            """Waits."""


def test_waits_that_make_no_sense():
    with pytest.raises(ValueError, match="what to wait for"):
        suspend(reason="x")
    with pytest.raises(ValueError, match="time zone"):
        suspend(reason="x", until=datetime.now())
    with pytest.raises(ValueError, match="alone"):
        suspend(reason="x", reboot=True, after=timedelta(seconds=1))


def test_any_exception_is_one_clear_failure():
    try:
        {}["x"]
    except KeyError as error:
        failure = _define.as_failure(error)
    assert str(failure).startswith("KeyError: 'x' (test_define.py, line ")
    assert '{}["x"]' in str(failure)
    assert json.dumps(failure.detail)

"""Calls the action in ordinary Python, with a host that holds what the test puts there; and once the built component, in the real
host."""

import pytest
from capstan import Denied, InvalidInput
from capstan.testing import FakeHost, World, start

from action import greet


def test_writes_a_greeting():
    with FakeHost() as host:
        result = start(greet, {"file": "/srv/greeting.txt", "name": "Ada"})
    assert host.files == {"/srv/greeting.txt": b"hello Ada\n"}
    assert result.outputs == {"path": "/srv/greeting.txt", "length": 10}


def test_needs_a_file():
    with pytest.raises(InvalidInput, match="`file` is missing"):
        start(greet)


def test_says_what_was_denied():
    with FakeHost(denied=["/etc/motd"]), pytest.raises(Denied) as caught:
        start(greet, {"file": "/etc/motd"})
    assert caught.value.target == "/etc/motd"


def test_the_component_in_the_real_host():
    run = World(files={"/srv": None}).run({"file": "/srv/greeting.txt", "name": "Ada"}).assert_success()
    assert run.files["/srv/greeting.txt"] == b"hello Ada\n"
    assert run.outputs == {"path": "/srv/greeting.txt", "length": 10}

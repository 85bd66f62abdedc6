"""Calls the action in ordinary Python, with a host that holds what the test puts there."""

import pytest
from capstan import Denied, InvalidInput
from capstan.testing import FakeHost, start

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

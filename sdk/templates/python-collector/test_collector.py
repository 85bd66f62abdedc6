"""Calls the collector in ordinary Python, with a host that holds what the test puts there; and once the built component, in the
real host."""

from capstan.testing import FakeHost, World, collect as call

from collector import collect

ETC = {"/etc/app.conf": "a=1\n", "/etc/other.conf": "", "/etc/passwd": "root", "/etc/app.d/x.conf": ""}


def names(item):
    return [entry["Name"] for entry in item.content]


def test_finds_configuration_files():
    with FakeHost(files=ETC):
        (item,) = call(collect)
    assert item.type_name == "Custom:ConfigFile"
    assert names(item) == ["app.conf", "other.conf"]
    assert item.entries()[0] == [("Name", "app.conf"), ("Path", "/etc/app.conf"), ("Size", "4"), ("Mode", "0644")]


def test_follows_its_settings():
    with FakeHost(files=ETC):
        (item,) = call(collect, {"suffix": "wd"})
    assert names(item) == ["passwd"]


def test_leaves_out_what_is_denied():
    with FakeHost(files=ETC, denied=["/etc/app.conf"]) as host:
        (item,) = call(collect)
    assert names(item) == ["other.conf"]
    assert host.logs[0][:2] == ("warn", "left out")


def test_the_component_in_the_real_host():
    run = World(files=ETC).run({}).assert_success()
    assert [entry["Name"] for entry in run.items[0]["Content"]] == ["app.conf", "other.conf"]

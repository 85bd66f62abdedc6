"""Tests of the collector, in ordinary Python."""

from capstan.testing import FakeHost, collect

from collector import cron_jobs

CRONTAB = """\
SHELL=/bin/sh
# m h dom mon dow user command
17 *    * * *   root    cd / && run-parts --report /etc/cron.hourly
@reboot backup /usr/local/bin/backup --all
nonsense
"""


def test_lists_jobs():
    with FakeHost(files={"/etc/crontab": CRONTAB, "/etc/cron.d/app": "*/5 * * * * app /opt/app/tick\n"}) as host:
        (item,) = collect(cron_jobs)
    assert item.type_name == "Custom:CronJob"
    assert [dict(entry) for entry in item.entries()] == [
        {
            "Schedule": "17 * * * *",
            "User": "root",
            "Command": "cd / && run-parts --report /etc/cron.hourly",
            "Source": "/etc/crontab",
            "Line": "3",
        },
        {
            "Schedule": "@reboot",
            "User": "backup",
            "Command": "/usr/local/bin/backup --all",
            "Source": "/etc/crontab",
            "Line": "4",
        },
        {"Schedule": "*/5 * * * *", "User": "app", "Command": "/opt/app/tick", "Source": "/etc/cron.d/app", "Line": "1"},
    ]
    assert ("warn", "not a job", {"source": "/etc/crontab", "line": 5}) in host.logs


def test_passes_over_what_cron_does_not_read():
    with FakeHost(files={"/etc/cron.d/app.dpkg-old": "* * * * * root /bin/x\n"}):
        (item,) = collect(cron_jobs)
    assert item.content == []


def test_leaves_out_what_is_denied():
    with FakeHost(files={"/etc/crontab": CRONTAB, "/etc/cron.d/app": "@daily app /x\n"}, denied=["/etc/crontab"]) as host:
        (item,) = collect(cron_jobs)
    assert [entry["User"] for entry in item.content] == ["app"]
    assert host.logs[0][2]["path"] == "/etc/crontab"


def test_looks_where_it_is_told():
    with FakeHost(files={"/srv/crontab": "@daily app /x\n"}):
        (item,) = collect(cron_jobs, {"tables": ["/srv/crontab"], "folders": []})
    assert len(item.content) == 1

"""An inventory collector that lists the jobs of cron: who runs what, and when."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Iterator

from capstan import Context, Denied, Files, Item, NotFound, collector, files, step

_TIME = re.compile(r"(@\w+|(?:\S+\s+){4}\S+)\s+(\S+)\s+(.+)")
_VARIABLE = re.compile(r"\w+\s*=")


@dataclass
class Settings:
    """Where to look.

    Attributes:
        tables: Files in the form of `/etc/crontab`.
        folders: Folders of such files.
    """

    tables: list[str] = field(default_factory=lambda: ["/etc/crontab"])
    folders: list[str] = field(default_factory=lambda: ["/etc/cron.d"])


@dataclass
class Job:
    """One line of a table."""

    schedule: str
    user: str
    command: str
    source: str
    line: int

    def entry(self) -> dict[str, object]:
        """As the inventory has it."""
        return {
            "Schedule": self.schedule,
            "User": self.user,
            "Command": self.command,
            "Source": self.source,
            "Line": self.line,
        }


def jobs(text: str, source: str) -> Iterator[Job]:
    """The jobs of a table; what is no job is passed over, as cron does."""
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#") or _VARIABLE.match(line):
            continue
        if found := _TIME.fullmatch(line):
            schedule, user, command = found.groups()
            yield Job(" ".join(schedule.split()), user, command, source, number)
        else:
            step.log("warn", "not a job", source=source, line=number)


def sources(settings: Settings) -> Iterator[str]:
    """The files to read."""
    yield from settings.tables
    for folder in settings.folders:
        try:
            entries = files.list_directory(folder)
        except NotFound:
            continue
        # Cron reads no names with dots or tildes, which editors and packages leave behind.
        yield from (f"{folder}/{one.name}" for one in entries if re.fullmatch(r"[\w-]+", one.name) and one.kind != "directory")


@collector(
    "acme:cronJobs",
    version="0.1.0",
    platforms=["Linux"],
    capabilities=[
        Files("/etc/crontab", "read", reason="reads the system's table", optional=True),
        Files("/etc/cron.d", "read-only", reason="reads the tables of packages", optional=True),
    ],
)
def cron_jobs(context: Context, settings: Settings) -> Item:
    """Lists the jobs of cron."""
    found: list[Job] = []
    for source in sources(settings):
        try:
            found += jobs(files.read_text(source), source)
        except NotFound:
            continue
        except Denied as denial:
            step.log("warn", "left out, since it is not granted", path=source, hint=denial.hint)
    step.log("info", "looked", jobs=len(found))
    return Item("Custom:CronJob", [job.entry() for job in found])

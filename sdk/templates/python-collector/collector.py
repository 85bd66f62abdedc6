"""The inventory collector {{action}}."""

from dataclasses import dataclass

from capstan import Context, Denied, Files, Item, collector, files, step


@dataclass
class Settings:
    """What a document says of what to look for.

    Attributes:
        suffix: How the names of wanted files end.
    """

    suffix: str = ".conf"


@collector(
    "{{action}}",
    version="0.1.0",
    capabilities=[
        Files("/etc", "read-only", reason="looks for configuration files; it does not read what is in them"),
    ],
)
def collect(context: Context, settings: Settings) -> Item:
    """Lists configuration files."""
    found = []
    for entry in files.list_directory("/etc"):
        if entry.kind != "file" or not entry.name.endswith(settings.suffix):
            continue
        path = f"/etc/{entry.name}"
        try:
            stat = files.stat(path)
        except Denied as denial:
            # What is not granted is left out, and the rest is told.
            step.log("warn", "left out", path=path, hint=denial.hint)
            continue
        found.append({"Name": entry.name, "Path": path, "Size": stat.size, "Mode": f"{stat.mode:04o}"})
    return Item("Custom:ConfigFile", found)

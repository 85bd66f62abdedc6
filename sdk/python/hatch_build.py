"""Puts the contract's WIT files into the packages that are made of this folder."""

from pathlib import Path

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class WitHook(BuildHookInterface):
    """Takes them from the repository; a source package has them already."""

    def initialize(self, version, build_data):
        """Adds each to what is packed."""
        target = "src/capstan/_wit" if self.target_name == "sdist" else "capstan/_wit"
        wit = Path(self.root).parent.parent / "wit"
        if not (wit / "host" / "host.wit").is_file() or version == "editable":
            return
        for file in sorted(wit.glob("*/*.wit")):
            build_data["force_include"][str(file)] = f"{target}/{file.relative_to(wit)}"

"""`python -m capstan.build`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from ._build import BuildError, build, manifest_of


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m capstan.build", description="Makes a component of an action or a collector in Python."
    )
    parser.add_argument("source", type=Path, help="the module: a .py file, or the folder of a package")
    parser.add_argument("-o", "--output", type=Path, help="where to (default: the source's name with .wasm)")
    parser.add_argument("-p", "--path", type=Path, action="append", default=[], help="another folder to import modules from")
    parser.add_argument("--manifest", action="store_true", help="print the manifest, and build nothing")
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing but errors")
    given = parser.parse_args()
    try:
        if given.manifest:
            print(json.dumps(manifest_of(given.source, given.path), indent=2, ensure_ascii=False))
            return 0
        output = given.output or Path(given.source.resolve().with_suffix("").name + ".wasm")
        built = build(given.source, output, given.path)
    except BuildError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if not given.quiet:
        print(f"{output}: {len(output.read_bytes()) / 1e6:.1f} MB, {', '.join(built.names)} {built.manifest['version']}")
        print("imports " + ", ".join(built.imports))
    return 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""Writes what the server needs of the public model of an AWS service, as one JSON file: `generate.py ssm`.

The model is read from the installed botocore. Descriptions are left out; each shape and operation has a line of its
own, so that a newer model makes a readable difference.
"""

import json
import sys
from pathlib import Path

from botocore.loaders import Loader

KEPT = ("min", "max", "pattern", "enum", "sensitive")


def shape(model):
    kept = {"type": model["type"]} | {key: model[key] for key in KEPT if key in model}
    match model["type"]:
        case "structure":
            # In the order of the model, which is that of the API's reference.
            kept["members"] = {name: member["shape"] for name, member in model["members"].items()}
            if model.get("required"):
                kept["required"] = model["required"]
        case "list":
            kept["member"] = model["member"]["shape"]
        case "map":
            kept["key"] = model["key"]["shape"]
            kept["value"] = model["value"]["shape"]
    return kept


def operation(model):
    kept = {key: model[key]["shape"] for key in ("input", "output") if key in model}
    return kept | {"errors": sorted(error["shape"] for error in model.get("errors", []))}


def error(name, model):
    kept = {}
    modelled = model.get("error", {})
    if modelled.get("code", name) != name:
        kept["code"] = modelled["code"]
    if "httpStatusCode" in modelled:
        kept["status"] = modelled["httpStatusCode"]
    elif model.get("fault"):
        kept["status"] = 500
    members = {member: found["shape"] for member, found in model["members"].items()}
    for spelling in ("message", "Message"):
        if members.pop(spelling, None):
            kept["message"] = spelling
    if members:
        kept["members"] = members
    return kept


def lines(entries):
    return ",\n".join(
        f"{json.dumps(name)}:{json.dumps(entry, separators=(',', ':'), ensure_ascii=False)}"
        for name, entry in sorted(entries.items())
    )


def main(service):
    model = Loader().load_service_model(service, "service-2")
    shapes, errors = {}, {}
    for name, found in model["shapes"].items():
        if found.get("exception"):
            errors[name] = error(name, found)
        else:
            shapes[name] = shape(found)
    operations = {name: operation(found) for name, found in model["operations"].items()}
    sections = ",\n".join(
        f'"{section}":{{\n{lines(entries)}\n}}'
        for section, entries in (("operations", operations), ("errors", errors), ("shapes", shapes))
    )
    path = Path(__file__).parent / f"{service}.json"
    path.write_text(f'{{"{service}":{{\n{sections}\n}}}}\n', encoding="utf-8")
    print(f"{path.name}: {len(operations)} operations, {len(errors)} errors, {len(shapes)} shapes")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])

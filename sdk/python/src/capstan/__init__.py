"""Write actions and inventory collectors for Capstan in Python.

    from dataclasses import dataclass
    from capstan import action, Context

    @dataclass
    class Inputs:
        name: str = "world"

    @action("acme:greet", version="0.1.0")
    def greet(context: Context, inputs: Inputs):
        "Greets somebody."
        print(f"hello {inputs.name}")
        return {"greeted": inputs.name}

`python -m capstan.build greet.py -o greet.wasm` makes a component of it.
"""

from . import capabilities, documents, files, http, parameters, process, secrets, step
from ._define import Action, Collector, DefinitionError, Item, action, collector
from .capabilities import Document, Files, Host, Parameter, Program, Secret, Signing
from .context import Context, Event, Platform, Result, Suspension, skipped, suspend
from .errors import (
    Cancelled,
    Denied,
    Failed,
    Failure,
    HostError,
    InvalidCall,
    InvalidInput,
    LimitExceeded,
    NotFound,
    NotInHost,
    TimedOut,
)
from .schema import describe

__version__ = "0.1.0"

__all__ = [
    "Action",
    "Cancelled",
    "Collector",
    "Context",
    "DefinitionError",
    "Denied",
    "Document",
    "Event",
    "Failed",
    "Failure",
    "Files",
    "Host",
    "HostError",
    "InvalidCall",
    "InvalidInput",
    "Item",
    "LimitExceeded",
    "NotFound",
    "NotInHost",
    "Parameter",
    "Platform",
    "Program",
    "Result",
    "Secret",
    "Signing",
    "Suspension",
    "TimedOut",
    "action",
    "capabilities",
    "collector",
    "describe",
    "documents",
    "files",
    "http",
    "parameters",
    "process",
    "secrets",
    "skipped",
    "step",
    "suspend",
]

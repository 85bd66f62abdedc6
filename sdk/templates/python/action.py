"""The action {{action}}."""

from dataclasses import dataclass

from capstan import Context, Files, action, files, step


@dataclass
class Inputs:
    """What a document gives to the step.

    Attributes:
        file: Where the greeting goes. What was there is replaced.
        name: Whom to greet.
    """

    file: str
    name: str = "world"


@dataclass
class Outputs:
    path: str
    length: int


@action(
    "{{action}}",
    version="0.1.0",
    capabilities=[
        Files("${inputs.file}", "read-write", reason="puts the greeting there"),
    ],
)
def greet(context: Context, inputs: Inputs) -> Outputs:
    """Writes a greeting into a file."""
    text = f"hello {inputs.name}\n"
    files.write_text(inputs.file, text)
    step.log("info", "greeted", name=inputs.name)
    print(text, end="")
    return Outputs(inputs.file, len(text))

"""A component that is kept to be run by later hosts: it uses a little of everything."""

from dataclasses import dataclass, field

from capstan import Context, Event, Files, Parameter, Program, action, files, parameters, process, step, suspend


@dataclass
class Inputs:
    """What a document gives to the step.

    Attributes:
        file: A file to read.
        word: A word for `echo`.
        parameter: The name of a parameter.
        wait: Whether it waits for the signal `go`.
    """

    file: str = ""
    word: str = ""
    parameter: str = ""
    wait: bool = False


@dataclass
class Waiting:
    said: list[str] = field(default_factory=list)


@action(
    "kept:python",
    version="0.1.0",
    capabilities=[
        Files("${inputs.file}", "read", reason="reads it", optional=True),
        Program("echo", ["/bin/echo", "/usr/bin/echo"], arguments=["{word}"], reason="says it", optional=True),
        Parameter("${inputs.parameter}", reason="tells it", optional=True),
    ],
)
def kept(context: Context, inputs: Inputs):
    """Uses a little of everything."""
    said = []
    if inputs.file:
        said.append(files.read_text(inputs.file))
    if inputs.word:
        said.append(process.run(["echo", inputs.word], capture_output=True, text=True, check=True).stdout)
    if inputs.parameter:
        said.append(parameters.get(inputs.parameter))
    step.log("info", "used")
    print("said", len(said))
    if inputs.wait:
        return suspend(Waiting(said), signal="go", reason="waits for go")
    return {"said": said}


@kept.resume
def again(context: Context, state: Waiting, event: Event | None):
    return {"said": [*state.said, event.name]}

// A component that is kept to be run by later hosts: it uses a little of everything.
import { defineAction, files, parameters, process, s, step, suspend } from "capstan-sdk";

export default defineAction({
  name: "kept:javascript",
  version: "0.1.0",
  description: "Uses a little of everything.",
  inputs: {
    file: s.string({ description: "A file to read." }).optional(),
    word: s.string({ description: "A word for `echo`." }).optional(),
    parameter: s.string({ description: "The name of a parameter." }).optional(),
    wait: s.boolean({ description: "Whether it waits for the signal `go`." }).default(false),
  },
  capabilities: {
    files: [{ path: "${inputs.file}", access: "read", reason: "reads it", optional: true }],
    programs: { echo: { paths: ["/bin/echo", "/usr/bin/echo"], arguments: ["{word}"], reason: "says it", optional: true } },
    parameters: [{ name: "${inputs.parameter}", reason: "tells it", optional: true }],
  },
  run(context, inputs) {
    const said = [];
    if (inputs.file) said.push(files.readFile(inputs.file, "utf8"));
    if (inputs.word) said.push(process.execFileSync("echo", [inputs.word]));
    if (inputs.parameter) said.push(parameters.get(inputs.parameter));
    step.log("info", "used");
    console.log("said", said.length);
    if (inputs.wait) return suspend({ said }, { signal: "go", reason: "waits for go" });
    return { said };
  },
  resume(context, state, event) {
    return { said: [...state.said, event.name] };
  },
});

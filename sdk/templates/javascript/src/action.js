// The action {{action}}.
import { defineAction, files, s, step } from "capstan-sdk";

export default defineAction({
  name: "{{action}}",
  version: "0.1.0",
  description: "Writes a greeting into a file.",
  inputs: {
    file: s.string({ description: "Where the greeting goes. What was there is replaced." }),
    name: s.string({ description: "Whom to greet." }).default("world"),
  },
  capabilities: {
    files: [{ path: "${inputs.file}", access: "read-write", reason: "puts the greeting there" }],
  },
  run(context, inputs) {
    const text = `hello ${inputs.name}\n`;
    files.writeFile(inputs.file, text);
    step.log("info", "greeted", { name: inputs.name });
    step.write(text);
    return { path: inputs.file, length: text.length };
  },
});

// The inventory collector {{action}}.
import { Denied, defineCollector, files, s, step } from "capstan-sdk";

export default defineCollector({
  name: "{{action}}",
  version: "0.1.0",
  description: "Lists configuration files.",
  settings: {
    suffix: s.string({ description: "How the names of wanted files end." }).default(".conf"),
  },
  capabilities: {
    files: [{ path: "/etc", access: "read-only", reason: "looks for configuration files; it does not read what is in them" }],
  },
  collect(context, settings) {
    const content = [];
    for (const { name, kind } of files.readdir("/etc")) {
      if (kind !== "file" || !name.endsWith(settings.suffix)) continue;
      const path = `/etc/${name}`;
      try {
        const { size, mode } = files.stat(path);
        content.push({ Name: name, Path: path, Size: size, Mode: mode.toString(8).padStart(4, "0") });
      } catch (error) {
        // What is not granted is left out, and the rest is told.
        if (!(error instanceof Denied)) throw error;
        step.log("warn", "left out", { path, hint: error.hint });
      }
    }
    return { typeName: "Custom:ConfigFile", content };
  },
});

#!/usr/bin/env node
import { parseArgs } from "node:util";
import { basename, extname } from "node:path";
import { BuildError, build, manifestOf } from "../src/build.js";

const usage = `Makes a component of an action or a collector.

Usage: capstan-build SOURCE [-o OUT.wasm] [--manifest] [--quiet]

  SOURCE        the module whose default export defineAction or defineCollector made; .js or .ts
  -o, --output  where to (default: the source's name with .wasm)
  --manifest    print the manifest, and build nothing
  -q, --quiet   print nothing but errors
`;

try {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      output: { type: "string", short: "o" },
      manifest: { type: "boolean" },
      quiet: { type: "boolean", short: "q" },
      help: { type: "boolean", short: "h" },
    },
  });
  const [source] = positionals;
  if (values.help) {
    process.stdout.write(usage);
  } else if (positionals.length !== 1) {
    process.stderr.write(usage);
    process.exitCode = 2;
  } else if (values.manifest) {
    console.log(JSON.stringify(await manifestOf(source), null, 2));
  } else {
    const output = values.output ?? `${basename(source, extname(source))}.wasm`;
    const built = await build(source, output);
    if (!values.quiet) {
      console.log(`${output}: ${(built.size / 1e6).toFixed(1)} MB, ${built.names.join(", ")} ${built.manifest.version}`);
      console.log(`imports ${built.imports.join(", ")}`);
    }
  }
} catch (error) {
  const known = error instanceof BuildError || error?.code?.startsWith?.("ERR_PARSE_ARGS");
  console.error(`error: ${known ? error.message : error.stack}`);
  process.exitCode = 1;
}

// The steps of a build.
import { cp, mkdir, mkdtemp, rename, rm, stat, writeFile } from "node:fs/promises";
import { existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import * as component from "./component.js";

export const MANIFEST_SECTION = "capstan:manifest@1";

/** Why there is no component, and what to do. */
export class BuildError extends Error {}

const sdk = dirname(fileURLToPath(import.meta.url));

/** The SDK's own modules are these, wherever the source lies. */
const aliases = { "capstan-sdk": join(sdk, "index.js"), "capstan-sdk/guest": join(sdk, "guest.js") };

/** Which interface a request of the manifest is for. */
const interfaces = {
  programs: "process",
  files: "files",
  hosts: "http",
  signing: "http",
  parameters: "parameters",
  secrets: "secrets",
  documents: "control",
};

/** The contract: the copy inside of the package, or the repository's own. */
export function witFolder() {
  for (const folder of [join(sdk, "../wit"), join(sdk, "../../../wit")]) {
    if (existsSync(join(folder, "host/host.wit"))) return folder;
  }
  throw new BuildError("the package lacks its WIT files; install capstan-sdk again");
}

async function bundle(options, source) {
  const { build: esbuild } = await import("esbuild").catch((error) => {
    throw new BuildError(`esbuild is missing or broken (${error.message}): npm install in the folder of the project, or of capstan-sdk`);
  });
  try {
    return await esbuild({
      bundle: true,
      format: "esm",
      platform: "neutral",
      mainFields: ["module", "main"],
      conditions: ["import", "module"],
      target: "es2022",
      logLevel: "silent",
      alias: aliases,
      write: false,
      ...options,
    });
  } catch (error) {
    if (!error.errors) throw error;
    const lines = error.errors.map(({ text, location }) => {
      const where = location ? `${location.file}:${location.line}:${location.column + 1}: ` : "";
      const builtin = text.match(/Could not resolve "(node:[^"]+|fs|os|path|child_process|http|https|net|crypto)"/);
      const help = builtin ? `; components have no ${builtin[1]} of Node, the SDK's own files, process and fetch take its place` : "";
      return `${where}${text}${help}`;
    });
    throw new BuildError(`${source} cannot be bundled:\n${lines.join("\n")}`);
  }
}

/** Runs the module here, without a host, for what it says of itself. */
async function load(source) {
  const path = resolve(source);
  if (!(await stat(path).catch(() => undefined))?.isFile()) throw new BuildError(`there is no file ${source}`);
  const folder = await mkdtemp(join(tmpdir(), "capstan-manifest-"));
  try {
    const file = join(folder, "module.mjs");
    await bundle({ entryPoints: [path], outfile: file, write: true, sourcemap: "inline" }, source);
    let module;
    try {
      module = await import(pathToFileURL(file).href);
    } catch (error) {
      throw new BuildError(`${source} cannot be loaded: ${error.stack ?? error}`);
    }
    const found = module.default;
    if (typeof found?.manifest !== "function") {
      throw new BuildError(`${source} has no default export that defineAction or defineCollector made`);
    }
    return { path, found, manifest: found.manifest() };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** The manifest of a module, without a build. */
export const manifestOf = async (source) => (await load(source)).manifest;

/** What is imported, no more than the manifest requests something of. */
function imported(capabilities, isAction) {
  const found = new Set(["step"]);
  for (const [kind, wanted] of Object.entries(capabilities)) {
    if (interfaces[kind] && Object.keys(wanted).length > 0) found.add(interfaces[kind]);
  }
  if (!isAction && found.has("control")) throw new BuildError("a collector cannot read or run documents; take `documents` away");
  return [...found].sort();
}

/** The world of the component. */
export function world(capabilities, isAction) {
  const lines = imported(capabilities, isAction).map((name) => `  import capstan:host/${name}@0.1.0;`);
  const exported = isAction ? "capstan:action/action" : "capstan:inventory/collector";
  return `package capstan:built;\nworld built {\n${lines.join("\n")}\n  export ${exported}@0.1.0;\n  export capstan:action/describe@0.1.0;\n}\n`;
}

function entry(path, names, isAction) {
  const lines = names.map((name) => `import * as ${name}_ from "capstan:host/${name}@0.1.0";`);
  const map = names.map((name) => `${name}: ${name}_`).join(", ");
  return `${lines.join("\n")}
import component from ${JSON.stringify(path)};
import { bind } from "capstan-sdk/guest";
const bound = bind(component, { ${map} }, () => globalThis.__capstanLines);
export const ${isAction ? "action = bound.action" : "collector = bound.collector"};
export const describe = bound.describe;
`;
}

const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/** The first source and line of each line of a bundle, where it changes, from its source map. */
function lineTable({ mappings, sources }, base) {
  const table = [];
  let [source, line] = [0, 0];
  const names = sources.map((one) => {
    const path = resolve(base, one);
    return path.startsWith(sdk) || one.includes("node_modules") || one.includes("capstan-entry") ? "" : relative(process.cwd(), path);
  });
  mappings.split(";").forEach((segments, at) => {
    let first;
    for (const segment of segments.split(",").filter(Boolean)) {
      const numbers = [];
      let [value, shift] = [0, 0];
      for (const digit of segment) {
        const bits = digits.indexOf(digit);
        value += (bits & 31) << shift;
        shift += 5;
        if (bits < 32) {
          numbers.push(value & 1 ? -(value >> 1) : value >> 1);
          [value, shift] = [0, 0];
        }
      }
      if (numbers.length < 4) continue;
      source += numbers[1];
      line += numbers[2];
      first ??= [at + 1, names[source], line + 1];
    }
    if (first && (first[1] || table.at(-1)?.[1])) table.push(first);
  });
  return table;
}

/** Makes the component. */
export async function build(source, output) {
  const { path, found, manifest } = await load(source);
  const isAction = found.word === "action";
  const names = imported(found.capabilities, isAction);
  const content = new TextEncoder().encode(JSON.stringify(manifest));
  if (content.length > 64 << 10) throw new BuildError(`the manifest has ${content.length} bytes, more than 65536; shorten descriptions`);
  const folder = await mkdtemp(join(tmpdir(), "capstan-build-"));
  try {
    await mkdir(join(folder, "wit/deps"), { recursive: true });
    await writeFile(join(folder, "wit/built.wit"), world(found.capabilities, isAction));
    for (const name of ["host", "action", ...(isAction ? [] : ["inventory"])]) {
      await cp(join(witFolder(), name), join(folder, "wit/deps", name), { recursive: true });
    }
    const made = await bundle(
      {
        stdin: { contents: entry(path, names, isAction), resolveDir: dirname(path), sourcefile: "capstan-entry.js" },
        external: ["capstan:*"],
        outfile: join(folder, "bundle.js"),
        sourcemap: "external",
      },
      source,
    );
    const code = made.outputFiles.find((one) => one.path.endsWith(".js")).text;
    const map = JSON.parse(made.outputFiles.find((one) => one.path.endsWith(".map")).text);
    const table = lineTable(map, folder);
    await writeFile(join(folder, "bundle.js"), `${code}\nglobalThis.__capstanLines = ${JSON.stringify(table)};\n`);
    const data = await componentize(folder, source);
    const whole = component.withCustomSection(data, MANIFEST_SECTION, content);
    const target = resolve(output);
    await mkdir(dirname(target), { recursive: true });
    await writeFile(`${target}.part`, whole);
    await rename(`${target}.part`, target);
    return { manifest, names: found.names, imports: component.imports(whole), size: whole.length };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function componentize(folder, source) {
  let tool;
  try {
    tool = await import("@bytecodealliance/componentize-js");
  } catch (error) {
    throw new BuildError(`componentize-js is missing or broken (${error.message}): npm install in the project's folder`);
  }
  try {
    const { component: data } = await tool.componentize({
      sourcePath: join(folder, "bundle.js"),
      witPath: join(folder, "wit"),
      worldName: "built",
      // Standard output would bring a file system, and fetch all of wasi:http: the SDK has both through the host.
      disableFeatures: ["stdio", "http", "fetch-event"],
    });
    return data;
  } catch (error) {
    throw new BuildError(`componentize-js made no component of ${source}: ${error.message ?? error}`);
  }
}

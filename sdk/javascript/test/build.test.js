import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { MANIFEST_SECTION, build, witFolder, world } from "../src/build.js";
import { customSection, imports, withCustomSection } from "../src/component.js";

const run = promisify(execFile);
let folder;
before(async () => (folder = await mkdtemp(join(tmpdir(), "capstan-test-"))));
after(() => rm(folder, { recursive: true, force: true }));

async function source(name, text) {
  const path = join(folder, name);
  await writeFile(path, text);
  return path;
}

const plain = (names) => names.map((name) => name.split("@")[0]);
const manifestIn = (data) => JSON.parse(new TextDecoder().decode(customSection(data, MANIFEST_SECTION)));

test("an action that asks for nothing imports nothing", async () => {
  const path = await source("quiet.js", `import { defineAction } from "capstan-sdk";
export default defineAction({ name: "acme:quiet", version: "0.1.0", description: "Does nothing.", run() {} });`);
  const output = join(folder, "quiet.wasm");
  const built = await build(path, output);
  const data = await readFile(output);
  assert.deepEqual(imports(data), built.imports);
  const names = plain(built.imports);
  assert.deepEqual(names.filter((name) => name.startsWith("capstan:host/")).sort(), ["capstan:host/step", "capstan:host/types"]);
  assert.deepEqual(names.filter((name) => /^wasi:(filesystem|sockets|http|cli\/environment)/.test(name)), []);
  assert.deepEqual(manifestIn(data).actions, ["acme:quiet"]);
  // The manifest is put in once, whatever was there.
  const again = withCustomSection(data, MANIFEST_SECTION, new TextEncoder().encode("{}"));
  assert.deepEqual(manifestIn(again), {});
  assert.ok(again.length < data.length);
});

test("a collector in TypeScript imports what it asks for", async () => {
  const path = await source("looks.ts", `import { defineCollector, type Item } from "capstan-sdk";
const found: Item[] = [];
export default defineCollector({
  name: "acme:looks", version: "0.1.0", description: "Looks.",
  capabilities: {
    files: [{ path: "/etc/app", reason: "reads the configuration" }],
    programs: { uname: { paths: "/usr/bin/uname", reason: "asks for the system" } },
  },
  collect: () => found,
});`);
  const output = join(folder, "looks.wasm");
  const { imports: names } = await build(path, output);
  const found = plain(names);
  assert.ok(found.includes("capstan:host/files") && found.includes("capstan:host/process"));
  assert.deepEqual(found.filter((name) => /^(wasi:(filesystem|sockets|http)|capstan:host\/(http|secrets))/.test(name)), []);
  assert.deepEqual(manifestIn(await readFile(output)).collectors, ["acme:looks"]);
});

for (const [name, text, words] of [
  ["nothing.js", "export const x = 1;", /no default export/],
  ["node.js", 'import fs from "node:fs"; export default fs;', /components have no node:fs of Node/],
  ["throws.js", 'throw new Error("at once");', /cannot be loaded: Error: at once/],
  ["syntax.js", "export default {", /syntax\.js:1:\d+: /],
]) {
  test(`what cannot be built: ${name}`, async () => {
    await assert.rejects(build(await source(name, text), join(folder, "x.wasm")), words);
  });
}

test("the command line", async () => {
  const command = (...list) => run(process.execPath, [new URL("../bin/capstan-build.js", import.meta.url).pathname, ...list]);
  const path = await source("said.js", `import { defineAction } from "capstan-sdk";
export default defineAction({ name: "acme:said", version: "0.1.0", description: "Says.", run() {} });`);
  const { stdout } = await command(path, "--manifest");
  assert.deepEqual(JSON.parse(stdout).actions, ["acme:said"]);
  await assert.rejects(command(join(folder, "absent.js")), (error) => error.code === 1 && /^error: there is no file/.test(error.stderr));
  await assert.rejects(command(), (error) => error.code === 2 && /^Makes a component/.test(error.stderr));
});

test("worlds", () => {
  assert.match(world({ signing: [{}] }, true), /import capstan:host\/http@0\.1\.0;/);
  assert.throws(() => world({ documents: [{}] }, false), /collector/);
});

test("the contract is the repository's", async () => {
  const original = new URL("../../../wit/host/host.wit", import.meta.url);
  const own = await readFile(join(witFolder(), "host/host.wit"), "utf8");
  assert.equal(own, await readFile(original, "utf8").catch(() => own));
});

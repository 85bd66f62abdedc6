// The built component in the real host, which `$CAPSTAN` names.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { build } from "../src/build.js";
import { HarnessError, runComponent } from "../src/testing.js";

const skip =
  spawnSync(process.env.CAPSTAN || "capstan", ["--version"]).status === 0 ? false : "neither $CAPSTAN nor PATH has a capstan";

let folder;
let component;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "capstan-harness-"));
  if (skip) return;
  component = join(folder, "tour.wasm");
  const source = join(folder, "tour.js");
  await writeFile(source, SOURCE);
  await build(source, component);
});
after(() => rm(folder, { recursive: true, force: true }));

const SOURCE = `
import { defineAction, files, process, s, secrets, step, suspend, Denied } from "capstan-sdk";
export default defineAction({
  name: "acme:tour", version: "0.1.0", description: "Looks at everything.",
  inputs: { folder: s.string() },
  capabilities: {
    files: [
      { path: "\${inputs.folder}", access: "read-write", reason: "packs there" },
      { path: "/etc/tour", access: "read", reason: "looks", optional: true },
    ],
    programs: { gzip: { paths: ["/usr/bin/gzip"], arguments: ["{path}"], reason: "packs" } },
    hosts: [{ url: "https://hooks.example.com/", methods: ["POST"], reason: "tells" }],
    secrets: [{ name: "/tour/*", uses: ["header"], reason: "proves" }],
  },
  async run(context, { folder }) {
    try {
      files.readFile("/etc/tour");
    } catch (error) {
      if (!(error instanceof Denied)) throw error;
      step.log("warn", "not there", { target: error.target });
    }
    const names = files.readdir(folder).map(({ name }) => name);
    const ended = names.map((name) => process.spawnSync("gzip", [folder + "/" + name]).status);
    await new Promise((done) => setTimeout(done, 60_000));
    return suspend({ names, ended }, { signal: "go", after: 3_600_000, reason: "asks first" });
  },
  async resume(context, state, event) {
    files.writeFile("/srv/told", event.kind);
    const answer = await fetch("https://hooks.example.com/T1", {
      method: "POST", json: state, headers: { "x-key": secrets.get("/tour/key") },
    });
    return { status: answer.status, at: new Date().toISOString(), ...state };
  },
});`;

const world = (changes) => ({
  files: { "/etc/tour": "", "/srv/a": "one", "/srv/b": { data: new Uint8Array([255]), modified: "2020-01-01T00:00:00Z", mode: 0o600 } },
  programs: { gzip: [{ writes: { "/srv/a.gz": new Uint8Array([31, 139]) }, removes: ["/srv/a"] }, { status: 3, stderr: "no\n" }] },
  responses: { "POST https://hooks.example.com/*": [204, 500] },
  secrets: { "/tour/key": "hunter2-hunter2" },
  now: "2026-01-31T12:00:00Z",
  ...changes,
});

test("a component in a world", { skip }, async () => {
  const look = () => runComponent(world({ deny: { files: ["/etc/tour"] } }), { folder: "/srv" }, { component });
  const run = (await look()).assertSuccess();
  assert.deepEqual(run.outputs, { status: 204, at: "2026-01-31T13:01:00.000Z", names: ["a", "b"], ended: [0, 3] });
  assert.deepEqual(run.programs.map((one) => one.arguments), [["/srv/a"], ["/srv/b"]]);
  assert.deepEqual([...run.files.keys()].sort(), ["/srv/a", "/srv/a.gz", "/srv/told"]);
  assert.equal(run.files.get("/srv/a"), null);
  assert.deepEqual([...run.files.get("/srv/a.gz")], [31, 139]);
  assert.equal(run.text("/srv/told"), "timer");
  assert.ok(run.denied("files", "/etc/tour"));
  assert.deepEqual(run.log, [{ level: "warn", message: "not there", fields: { target: "/etc/tour" } }]);
  const [request] = run.requests;
  assert.deepEqual(request.json(), { names: ["a", "b"], ended: [0, 3] });
  assert.equal(request.headers["x-key"], "{{secret:/tour/key}}");
  assert.equal(run.suspensions[0].resumedBy, "timer");
  assert.equal(run.endedAt, "2026-01-31T13:01:00Z");
  assert.ok(run.fuel > 1_000_000);
  assert.equal((await look()).fuel, run.fuel);
});

test("a signal, and what is not answered", { skip }, async () => {
  const run = await runComponent(world({ signals: ["go"], responses: {} }), { folder: "/srv" }, { component });
  assert.equal(run.suspensions[0].signal, "go");
  assert.equal(run.text("/srv/told"), "signal");
  assert.deepEqual(run.unanswered, ["the test has no answer to POST https://hooks.example.com/T1; it has answers to none at all"]);
  assert.throws(() => run.assertSuccess(), /unanswered: the test has no answer/);
});

test("limits and policies", { skip }, async () => {
  const limited = await runComponent(world({ limits: { fuel: 100_000 } }), { folder: "/srv" }, { component });
  assert.equal(limited.statusDetail, "FuelExhausted");
  const refused = await runComponent(world({ policy: "version: 1" }), { folder: "/srv" }, { component });
  assert.equal(refused.statusDetail, "AccessDenied");
  assert.ok(refused.denied("files", "/srv"));
  await assert.rejects(runComponent({}, {}, { component, action: "acme:other" }), /serves no action acme:other/);
});

test("what is missing", async () => {
  await assert.rejects(runComponent({}, {}, { component: "/absent.wasm" }), /run `capstan plugin build` first/);
  await assert.rejects(runComponent(), (error) => error instanceof HarnessError && /has capstan\.output/.test(error.message));
  await assert.rejects(runComponent({ programs: { gzip: () => 0 } }, {}, { component: import.meta.filename }), /is for withHost/);
  const before = process.env.CAPSTAN;
  process.env.CAPSTAN = "/absent/capstan";
  try {
    await assert.rejects(runComponent({}, {}, { component: import.meta.filename }), /name its program in \$CAPSTAN/);
  } finally {
    if (before === undefined) delete process.env.CAPSTAN;
    else process.env.CAPSTAN = before;
  }
});

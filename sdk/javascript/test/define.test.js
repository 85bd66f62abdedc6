import assert from "node:assert/strict";
import { test } from "node:test";
import { Denied, NotFound, defineAction, defineCollector, documents, done, fetch, files, parameters, process, s, secrets, step, suspend } from "capstan-sdk";
import { collect, resume, start, testContext, withHost } from "capstan-sdk/testing";

const check = defineAction({
  name: "acme:check",
  version: "1.2.3",
  description: "Checks a service until it is well.",
  inputs: { url: s.string(), tries: s.integer().default(3) },
  capabilities: {
    hosts: [{ url: "${inputs.url}", methods: ["GET"], reason: "asks" }],
    files: [{ path: "/a", access: "read", reason: "reads", optional: true }],
    programs: { gzip: { paths: "/usr/bin/gzip", arguments: ["{path}"], reason: "packs" } },
    children: "any",
  },
  platforms: ["Linux"],
  async run(context, inputs) {
    const response = await fetch(inputs.url);
    if (response.ok) return { healthy: true };
    return suspend({ left: inputs.tries }, { after: 1000, signal: "skip", reason: "waits for the service" });
  },
  resume(context, state, event) {
    return event.kind === "signal" ? done({ by: event.name }) : done({ left: state.left - 1 }, { status: "failed", exitCode: 4 });
  },
});

test("the manifest", () => {
  assert.deepEqual(check.manifest(), {
    actions: ["acme:check"],
    version: "1.2.3",
    description: "Checks a service until it is well.",
    inputSchema: {
      type: "object",
      properties: { url: { type: "string" }, tries: { type: "integer", default: 3 } },
      additionalProperties: false,
      required: ["url"],
    },
    platforms: ["Linux"],
    capabilities: {
      hosts: [{ url: "${inputs.url}", methods: ["GET"], reason: "asks" }],
      files: [{ path: "/a", access: ["read"], reason: "reads", optional: true }],
      programs: { gzip: { paths: ["/usr/bin/gzip"], arguments: ["{path}"], reason: "packs" } },
      children: "any",
    },
  });
});

test("an action ends or waits", async () => {
  await withHost({ responses: { "GET https://a/": 200 } }, async () => {
    assert.deepEqual((await start(check, { url: "https://a/" })).outputs, { healthy: true });
  });
  const waiting = await withHost({ responses: { "https://a/": 503 } }, () => start(check, { url: "https://a/", tries: "2" }));
  assert.deepEqual(waiting.signals, ["skip"]);
  assert.deepEqual((await resume(check, waiting)).outputs, { left: 1 });
  assert.deepEqual((await resume(check, waiting, { kind: "signal", name: "skip" })).outputs, { by: "skip" });
  await assert.rejects(start(check, {}), /`url` is missing/);
});

test("a denial can be told apart", async () => {
  await withHost({ denied: ["https://a/"] }, () =>
    assert.rejects(start(check, { url: "https://a/" }), (error) => error instanceof Denied && error.capability === "hosts" && error.target === "https://a/"),
  );
});

test("a collector's values become text", async () => {
  const looks = defineCollector({
    name: "acme:looks",
    version: "1.0.0",
    description: "Looks.",
    collect: async () => ({ typeName: "Custom:Looks", content: [{ name: "a", size: 3, on: true, gone: null }] }),
  });
  assert.deepEqual(looks.manifest().collectors, ["acme:looks"]);
  assert.deepEqual(await collect(looks), [{ typeName: "Custom:Looks", schemaVersion: "1.0", content: [{ name: "a", size: "3", on: "true" }] }]);
});

test("programs", async () => {
  await withHost({ programs: { gzip: () => ({ status: 3, stdout: "out", stderr: "first\nlast\n" }) } }, (host) => {
    const result = process.spawnSync("gzip", ["/a"], { env: { A: "b", P: secrets.ref("p") }, input: "x", timeout: 500 });
    assert.deepEqual([result.status, result.stdout, result.stderr], [3, "out", "first\nlast\n"]);
    assert.throws(() => process.execFileSync("gzip", ["/a"]), /gzip ended with exit code 3: last/);
    assert.throws(() => process.spawnSync("gzip", "/a"), /no shell/);
    assert.deepEqual(host.commands[0].environment, [["A", { tag: "plain", val: "b" }], ["P", { tag: "secret", val: "p" }]]);
    assert.equal(host.commands[0].timeoutMillis, 500n);
    process.spawnSync("gzip", [], { stdio: "inherit" });
    assert.equal(host.stdout, "out");
    assert.throws(() => process.spawnSync("absent"), NotFound);
  });
});

test("files, parameters, secrets and documents", async () => {
  const script = { files: { "/a/b": "one" }, parameters: { p: "v", l: ["a"] }, secrets: ["t"], documents: { d: "text" } };
  await withHost(script, (host) => {
    files.appendFile("/a/b", "two");
    files.writeFile("/a/c", "new");
    assert.equal(files.readFile("/a/b", "utf8"), "onetwo");
    assert.deepEqual(files.readdir("/a").map((one) => one.name), ["b", "c"]);
    assert.equal(files.exists("/a/d"), false);
    assert.equal(files.stat("/a").isDirectory(), true);
    files.rm("/a", { recursive: true });
    assert.equal(host.files.size, 0);
    assert.equal(parameters.get("p"), "v");
    assert.deepEqual(parameters.get("l"), ["a"]);
    assert.match(secrets.get("t"), /placeholder/);
    assert.equal(documents.run("d", { a: 1 }).status, "Success");
    step.progress(1, 2, "half");
    step.log("info", "said", { a: 1 });
    assert.deepEqual(host.logs, [{ level: "info", message: "said", fields: { a: 1 } }]);
  });
});

test("requests", async () => {
  await withHost({ responses: { "POST https://a/": { status: 201, body: { id: 1 } } } }, async (host) => {
    const response = await fetch("https://a/", { method: "post", json: { x: 1 }, auth: { type: "bearer", secret: "token" } });
    assert.deepEqual(await response.json(), { id: 1 });
    assert.deepEqual(host.requests[0].authorization, { tag: "bearer", val: "token" });
    assert.deepEqual(host.requests[0].headers, [["content-type", "application/json"]]);
  });
});

test("without a host", () => assert.throws(() => files.readFile("/a"), /withHost/));

const base = { name: "a:b", version: "1.0.0", description: "B.", run() {} };
for (const [change, words] of [
  [{ name: "rotate" }, /namespace/],
  [{ version: "1.0" }, /not of the form/],
  [{ description: " " }, /description/],
  [{ run: undefined }, /function `run`/],
  [{ capabilities: { host: [] } }, /there is no capability `host`/],
  [{ capabilities: { files: [{ path: "relative", reason: "x" }] } }, /not absolute/],
  [{ capabilities: { files: [{ path: "/a", access: "destroy", reason: "x" }] } }, /no access to files/],
  [{ capabilities: { hosts: [{ url: "*", reason: " " }] } }, /needs a reason/],
  [{ platforms: ["BeOS"] }, /no platform BeOS/],
]) {
  test(`what is declared wrongly: ${words}`, () => assert.throws(() => defineAction({ ...base, ...change }), words));
}

test("waits that make no sense", () => {
  assert.throws(() => suspend({}, { reason: "x" }), /what to wait for/);
  assert.throws(() => suspend({}, { reason: "x", reboot: true, after: 1 }), /alone/);
  assert.equal(testContext({ step: "s" }).step, "s");
});

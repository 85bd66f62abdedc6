import assert from "node:assert/strict";
import { test } from "node:test";
import { Denied } from "capstan-sdk";
import { resume, start, withHost } from "capstan-sdk/testing";
import notify from "../src/action.js";

const url = "https://hooks.example.com/T1";
const inputs = { url, text: "deployed 4.2", tokenSecret: "hook-token" };
const secrets = ["hook-token"];

test("tells", () =>
  withHost({ secrets, responses: { [`POST ${url}`]: 204 } }, async (host) => {
    const result = await start(notify, inputs);
    assert.deepEqual(result.outputs, { status: 204, tries: 1 });
    const [request] = host.requests;
    assert.deepEqual(JSON.parse(String(Buffer.from(request.body))), {
      text: "deployed 4.2",
      severity: "info",
      node: "test-node",
      document: "test",
      run: "test-run",
    });
    // The value is the host's business.
    assert.match(new Map(request.headers).get("authorization"), /^Bearer \{\{placeholder/);
  }));

test("waits while the other side is down, and goes on", async () => {
  const answers = [503, 429, 200];
  await withHost({ secrets, responses: { [url]: () => answers.shift() } }, async () => {
    const first = await start(notify, inputs);
    assert.equal(first.reason, "tries again after status 503");
    const second = await resume(notify, first);
    assert.equal(second.state.triesLeft, 3);
    assert.deepEqual((await resume(notify, second)).outputs, { status: 200, tries: 3 });
  });
});

test("gives up in the end", () =>
  withHost({ responses: { [url]: 500 } }, () =>
    assert.rejects(start(notify, { url, text: "x", attempts: "1" }), /could not be told: status 500, 1 times/),
  ));

test("does not ask again after a refusal", () =>
  withHost({ responses: { [url]: 401 } }, () => assert.rejects(start(notify, { url, text: "x" }), /refused the message with status 401/)));

test("a denial is told as one", () =>
  withHost({ denied: [url] }, () => assert.rejects(start(notify, { url, text: "x" }), (error) => error instanceof Denied)));

test("its inputs are checked", async () => {
  await assert.rejects(start(notify, { url: "ftp://x", text: "x" }), /url is of the form/);
  await assert.rejects(start(notify, { url, text: "x", severity: "bad" }), /severity is `info` or `warning` or `critical`/);
});

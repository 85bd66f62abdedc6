// Calls the action in ordinary Node, with a host that holds what the test puts there; and once the built component, in the real host.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Denied } from "capstan-sdk";
import { runComponent, start, withHost } from "capstan-sdk/testing";
import greet from "../src/action.js";

test("writes a greeting", () =>
  withHost({}, async (host) => {
    const result = await start(greet, { file: "/srv/greeting.txt", name: "Ada" });
    assert.equal(String(host.files.get("/srv/greeting.txt")), "hello Ada\n");
    assert.deepEqual(result.outputs, { path: "/srv/greeting.txt", length: 10 });
  }));

test("needs a file", () => assert.rejects(start(greet), /`file` is missing/));

test("says what was denied", () =>
  withHost({ denied: ["/etc/motd"] }, () =>
    assert.rejects(start(greet, { file: "/etc/motd" }), (error) => error instanceof Denied && error.target === "/etc/motd"),
  ));

test("the component in the real host", async () => {
  const run = (await runComponent({ files: { "/srv": null } }, { file: "/srv/greeting.txt", name: "Ada" })).assertSuccess();
  assert.equal(run.text("/srv/greeting.txt"), "hello Ada\n");
  assert.deepEqual(run.outputs, { path: "/srv/greeting.txt", length: 10 });
});

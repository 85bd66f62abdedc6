// Calls the collector in ordinary Node, with a host that holds what the test puts there; and once the built component, in the real host.
import assert from "node:assert/strict";
import { test } from "node:test";
import { collect, runComponent, withHost } from "capstan-sdk/testing";
import collector from "../src/collector.js";

const etc = { "/etc/app.conf": "a=1\n", "/etc/other.conf": "", "/etc/passwd": "root", "/etc/app.d/x.conf": "" };
const names = ([item]) => item.content.map((entry) => entry.Name);

test("finds configuration files", () =>
  withHost({ files: etc }, async () => {
    const [item] = await collect(collector);
    assert.equal(item.typeName, "Custom:ConfigFile");
    assert.deepEqual(item.content[0], { Name: "app.conf", Path: "/etc/app.conf", Size: "4", Mode: "0644" });
    assert.deepEqual(names([item]), ["app.conf", "other.conf"]);
  }));

test("follows its settings", () =>
  withHost({ files: etc }, async () => assert.deepEqual(names(await collect(collector, { suffix: "wd" })), ["passwd"])));

test("leaves out what is denied", () =>
  withHost({ files: etc, denied: ["/etc/app.conf"] }, async (host) => {
    assert.deepEqual(names(await collect(collector)), ["other.conf"]);
    assert.equal(host.logs[0].message, "left out");
  }));

test("the component in the real host", async () => {
  const run = (await runComponent({ files: etc }, {})).assertSuccess();
  assert.deepEqual(names(run.items.map((item) => ({ content: item.Content }))), ["app.conf", "other.conf"]);
});

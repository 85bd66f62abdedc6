import assert from "node:assert/strict";
import { test } from "node:test";
import { s } from "capstan-sdk";
import { check, jsonOf } from "../src/schema.js";

const schema = jsonOf({
  folder: s.string({ description: "Where" }),
  keep: s.integer({ minimum: 1 }).default(7),
  level: s.enum(["low", "high"]).default("low"),
  dryRun: s.boolean().optional(),
  targets: s.array(s.object({ host: s.string(), port: s.integer().default(443) })).optional(),
  labels: s.record(s.string()).optional(),
  raw: s.any().optional(),
});

test("the schema of builders", () => {
  assert.deepEqual(schema.required, ["folder"]);
  assert.equal(schema.additionalProperties, false);
  assert.deepEqual(schema.properties.keep, { type: "integer", minimum: 1, default: 7 });
  assert.deepEqual(schema.properties.level, { type: "string", enum: ["low", "high"], default: "low" });
  assert.deepEqual(schema.properties.targets.items.required, ["host"]);
  assert.deepEqual(schema.properties.labels, { type: "object", additionalProperties: { type: "string" } });
});

test("values are converted and completed", () => {
  assert.deepEqual(
    check(schema, { FOLDER: "/srv", keep: "3", level: "HIGH", dryRun: "True", targets: [{ host: "a", port: "80" }, { host: "b" }], labels: { a: 1 }, raw: null }),
    { folder: "/srv", keep: 3, level: "high", dryRun: true, targets: [{ host: "a", port: 80 }, { host: "b", port: 443 }], labels: { a: "1" } },
  );
});

for (const [change, key, words] of [
  [{ keep: "x" }, "keep", "keep is a whole number, not `x`"],
  [{ keep: 0 }, "keep", "keep is at least 1, not `0`"],
  [{ keep: "" }, "keep", "keep is a whole number, not ``"],
  [{ keep: true }, "keep", "keep is a whole number, not `true`"],
  [{ dryRun: "yes" }, "dryRun", "dryRun is true or false, not `yes`"],
  [{ level: "middle" }, "level", "level is `low` or `high`, not `middle`"],
  [{ targets: {} }, "targets", "targets is a list, not a mapping"],
  [{ targets: [{ port: 1 }] }, "targets[0].host", "the input `targets[0].host` is missing"],
  [{ labels: { a: [] } }, "labels.a", "labels.a is text, not a list"],
  [{ nothing: 1 }, "nothing", "there is no input `nothing`; there are `folder`"],
  [{ folder: null }, "folder", "the input `folder` is missing"],
]) {
  test(`an error names the key: ${words}`, () => {
    assert.throws(() => check(schema, { folder: "/srv", ...change }), (error) => {
      assert.equal(error.kind, "invalid-input");
      assert.equal(error.key, key);
      assert.ok(error.message.includes(words), error.message);
      return true;
    });
  });
}

test("plain JSON Schema", () => {
  const plain = { type: "object", properties: { a: { type: ["integer", "string"] }, b: { anyOf: [{ type: "array" }, { type: "boolean" }] } } };
  assert.deepEqual(check(plain, { a: "x", b: "true", c: 1 }), { a: "x", b: true, c: 1 });
  assert.deepEqual(check(plain, { a: "5" }), { a: "5" });
});

test("a key of the prototype is a key like any", () => {
  const value = check({ type: "object" }, JSON.parse('{"__proto__": {"x": 1}}'));
  assert.equal({}.x, undefined);
  assert.deepEqual(Object.keys(value), ["__proto__"]);
});

// The SDK's side of a component's exports. Part of components alone.
import { Failure } from "./errors.js";
import { Suspension } from "./define.js";
import { fetch } from "./http.js";
import { bytes, install, text } from "./host.js";

function shown(value) {
  if (typeof value === "string") return value;
  if (value instanceof Error) return value.stack ? `${value.name}: ${value.message}\n${value.stack}` : String(value);
  if (typeof value === "object" && value !== null) {
    try {
      return JSON.stringify(value, (_, one) => (typeof one === "bigint" ? String(one) : one));
    } catch {
      return String(value);
    }
  }
  return String(value);
}

function makeConsole(step) {
  const print = (target) => (...values) => step.write(target, bytes(`${values.map(shown).join(" ")}\n`));
  const [out, err] = [print("stdout"), print("stderr")];
  return { log: out, info: out, debug: out, dir: out, warn: err, error: err, trace: err, assert: (good, ...values) => good || err("Assertion failed:", ...values) };
}

/** Lines of the bundle as lines of the sources: `[line of the bundle, source, line]`, in order. */
function place(line, lines) {
  let found;
  for (const one of lines ?? []) {
    if (one[0] > line) break;
    found = one;
  }
  return found?.[1] ? `${found[1]}:${found[2]}` : undefined;
}

function frames(error, lines) {
  return String(error?.stack ?? "")
    .split("\n")
    .map((frame) => {
      const [, name, line] = frame.match(/^(.*?)@.*?:(\d+)(?::\d+)?$/) ?? [];
      const at = line && place(Number(line), lines);
      return at && `${at}${name ? ` in ${name.replaceAll(/[/<]+$/g, "")}` : ""}`;
    })
    .filter(Boolean);
}

const known = { "invalid-input": 1, failed: 1, "timed-out": 1, denied: 1, cancelled: 1 };

function asFailure(error, lines, step) {
  if (error instanceof Failure) {
    const detail = error.detail === undefined ? undefined : JSON.stringify(error.detail);
    return { kind: { tag: known[error.kind] ? error.kind : "failed" }, message: error.message, detail };
  }
  const stack = frames(error, lines).slice(0, 8);
  const what = error instanceof Error ? `${error.name}: ${error.message}` : `${shown(error)} was thrown`;
  step.write("stderr", bytes(`${what}\n${stack.map((one) => `    at ${one}\n`).join("")}`));
  return {
    kind: { tag: "failed" },
    message: stack.length ? `${what} (${stack[0]})` : what,
    detail: JSON.stringify({ exception: error?.name ?? typeof error, stack }),
  };
}

const contextOf = (given) => ({
  ...given,
  deadline: new Date(Number(given.deadline)),
  environment: Object.fromEntries(given.environment),
});

function eventOf({ tag, val }) {
  if (tag === "signal") return { kind: "signal", name: val.name, payload: val.payload === undefined || val.payload === null ? undefined : JSON.parse(val.payload) };
  return { kind: tag === "other" ? val : tag };
}

const statuses = ["success", "failed", "timed-out", "cancelled", "skipped"];

function outcomeOf(value) {
  if (value instanceof Suspension) {
    const at = value.at === undefined ? undefined : BigInt(Math.max(0, value.at));
    let wake = { tag: "at", val: at };
    if (value.reboot) wake = { tag: "reboot" };
    else if (at === undefined) wake = { tag: "signal", val: value.signals };
    else if (value.signals.length) wake = { tag: "either", val: [at, value.signals] };
    return { tag: "suspended", val: { state: bytes(JSON.stringify(value.state ?? null)), wake, reason: String(value.reason) } };
  }
  const status = statuses.includes(value.status) ? { tag: value.status } : { tag: "other", val: String(value.status) };
  // Half a surrogate pair is no text anywhere else.
  const whole = (_, one) => (typeof one === "string" ? one.toWellFormed() : one);
  const outputs = value.outputs === undefined || value.outputs === null ? undefined : JSON.stringify(value.outputs, whole);
  return { tag: "done", val: { status, exitCode: value.exitCode | 0, outputs } };
}

/** Makes a component's exports of an action or a collector and of what the component imports. */
export function bind(component, imports, lines) {
  install(imports);
  globalThis.console = makeConsole(imports.step);
  globalThis.fetch = fetch;
  const guarded = async (run) => {
    try {
      return await run();
    } catch (error) {
      throw asFailure(error, lines(), imports.step);
    }
  };
  const parsed = (json) => {
    try {
      return JSON.parse(json);
    } catch (error) {
      throw new Failure(`the inputs are not JSON: ${error.message}`);
    }
  };
  return {
    describe: { manifest: () => JSON.stringify(component.manifest()) },
    action: {
      start: (context, inputs) => guarded(async () => outcomeOf(await component.start(contextOf(context), parsed(inputs)))),
      resume: (context, state, event) =>
        guarded(async () => outcomeOf(await component.resume(contextOf(context), JSON.parse(text(state)), eventOf(event)))),
    },
    collector: {
      collect: (context, settings) => guarded(() => component.collect(contextOf(context), parsed(settings))),
    },
  };
}

import { Cancelled, Failure, LimitExceeded, TimedOut } from "./errors.js";
import { bytes, call, host, joined, release, text } from "./host.js";
import { SecretRef } from "./secrets.js";

const targets = { inherit: "step", pipe: "capture", ignore: "discard", tee: "both" };

/** A program ended with another code than 0. */
export class ProgramFailed extends Failure {
  constructor(program, result) {
    const how = result.signal === null ? `exit code ${result.status}` : `signal ${result.signal}`;
    const error = typeof result.stderr === "string" ? result.stderr : result.stderr ? text(result.stderr) : "";
    const last = error.split("\n").filter((line) => line.trim()).at(-1);
    super(`${program} ended with ${how}${last ? `: ${last.trim()}` : ""}`, { program, status: result.status });
    Object.assign(this, result);
  }
}

class Child {
  #inner;
  #program;
  #end;

  constructor(inner, program) {
    this.#inner = inner;
    this.#program = program;
  }

  read(size = 65536) {
    return call(() => this.#inner.read(size));
  }

  *[Symbol.iterator]() {
    for (let chunks = this.read(); chunks.length > 0; chunks = this.read()) yield* chunks;
  }

  wait() {
    if (this.#end) return this.#end;
    const [{ tag, val }, used] = call(() => this.#inner.wait());
    release(this.#inner);
    const program = this.#program;
    const usage = {
      wallMillis: Number(used.wallMillis),
      cpuMillis: Number(used.cpuMillis),
      peakMemoryBytes: Number(used.peakMemoryBytes),
    };
    switch (tag) {
      case "code":
        return (this.#end = { status: val, signal: null, usage });
      case "signal":
        return (this.#end = { status: null, signal: val, usage });
      case "timed-out":
        throw new TimedOut(`${program} took longer than it may and was ended`);
      case "cancelled":
        throw new Cancelled(`${program} was ended because the operator asked the step to stop`);
      case "limit-exceeded":
        throw new LimitExceeded(`${program} was ended by a limit: ${val}`);
      default:
        throw new Failure(`${program} ended in a way that this SDK does not know: ${val}`);
    }
  }

  kill() {
    call(() => this.#inner.kill());
  }
}

function spawn(program, args = [], options = {}) {
  const { input, cwd, env = {}, timeout, stdio = "pipe" } = options;
  if (!Array.isArray(args)) throw new TypeError("the arguments of a program are an array; there is no shell to split text");
  const [, out, err] = Array.isArray(stdio) ? stdio : [undefined, stdio, stdio];
  for (const target of [out, err]) {
    if (!(target in targets)) throw new TypeError(`stdio is ${Object.keys(targets).join(", ")}, not ${target}`);
  }
  let stdin = { tag: "none" };
  if (input instanceof SecretRef) stdin = { tag: "secret", val: input.name };
  else if (input !== undefined) stdin = { tag: "bytes", val: bytes(input) };
  const environment = Object.entries(env).map(([name, value]) => [
    name,
    value instanceof SecretRef ? { tag: "secret", val: value.name } : { tag: "plain", val: String(value) },
  ]);
  const inner = call(() =>
    host("process").spawn({
      program,
      arguments: args.map(String),
      environment,
      workingDirectory: cwd,
      stdin,
      stdout: targets[out],
      stderr: targets[err],
      timeoutMillis: timeout === undefined ? undefined : BigInt(Math.max(1, Math.floor(timeout))),
    }),
  );
  return new Child(inner, program);
}

function spawnSync(program, args = [], options = {}) {
  const { encoding = "utf8", maxBuffer = 8 << 20, stdio = "pipe" } = options;
  const child = spawn(program, args, options);
  const parts = { stdout: [], stderr: [] };
  const [, out, err] = Array.isArray(stdio) ? stdio : [undefined, stdio, stdio];
  const captured = { stdout: out === "pipe" || out === "tee", stderr: err === "pipe" || err === "tee" };
  if (captured.stdout || captured.stderr) {
    let size = 0;
    for (const { source, data } of child) {
      parts[source].push(data);
      size += data.length;
      if (size > maxBuffer) {
        child.kill();
        throw new LimitExceeded(`${program} printed more than ${maxBuffer} bytes`);
      }
    }
  }
  const end = child.wait();
  const output = (name) => {
    if (!captured[name]) return null;
    const whole = joined(parts[name]);
    return encoding === "buffer" ? whole : text(whole);
  };
  return { ...end, stdout: output("stdout"), stderr: output("stderr") };
}

function execFileSync(program, args = [], options = {}) {
  const result = spawnSync(program, args, options);
  if (result.status !== 0) throw new ProgramFailed(program, result);
  return result.stdout;
}

export const process = { spawn, spawnSync, execFileSync, find: (program) => host("process").find(program) };

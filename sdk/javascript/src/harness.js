// The built component in the real host, against a scripted world.
import { spawn } from "node:child_process";
import { readFileSync, statSync } from "node:fs";
import { dirname, join, resolve } from "node:path";

/** Why a component was not run at all. How a step ends is in its run. */
export class HarnessError extends Error {}

const base64 = (data) => Buffer.from(data).toString("base64");

/** Bytes as the host reads them. */
const content = (data) => (typeof data === "string" ? data : { base64: base64(data) });

const bytesOf = (data) => Buffer.from(typeof data === "string" ? data : data.base64, typeof data === "string" ? "utf8" : "base64");

const isBytes = (data) => typeof data === "string" || data instanceof Uint8Array;

function file(given) {
  const { data, modified, mode } = given === null || isBytes(given) ? { data: given } : given;
  const what = data === null ? { directory: true } : typeof data === "string" ? { text: data } : { base64: base64(data ?? "") };
  return { ...what, modified, mode: mode === undefined ? undefined : mode.toString(8) };
}

const noFunction = (what, answer) => {
  if (typeof answer === "function") {
    throw new TypeError(`${what} is answered by a function, which is for withHost: the host is another process`);
  }
};

function program(name, answer) {
  noFunction(`the program ${name}`, answer);
  const given = typeof answer === "number" ? { status: answer } : isBytes(answer) ? { stdout: answer } : (answer ?? {});
  const { status, stdout = "", stderr = "", writes = {}, takes = 0, ...rest } = given;
  return {
    program: name,
    exitCode: status,
    stdout: content(stdout),
    stderr: content(stderr),
    writes: Object.fromEntries(Object.entries(writes).map(([path, data]) => [path, content(data)])),
    takesMillis: takes,
    ...rest,
  };
}

function response(where, answer) {
  noFunction(where, answer);
  const given = typeof answer === "number" ? { status: answer } : isBytes(answer) ? { body: answer } : answer;
  const at = where.lastIndexOf(" ");
  const { body = "", ...rest } = given;
  return {
    method: at < 0 ? undefined : where.slice(0, at),
    url: where.slice(at + 1),
    ...(isBytes(body) ? { body: content(body) } : { json: body }),
    ...rest,
  };
}

/** A list is answered from in turn: each once, and the last for good. */
const inTurn = (map, of) =>
  Object.entries(map).flatMap(([name, answers]) =>
    (Array.isArray(answers) ? answers : [answers]).map((one, index, all) => ({
      ...(index + 1 < all.length ? { times: 1 } : {}),
      ...of(name, one),
    })),
  );

function output() {
  const here = process.cwd();
  for (let folder = here; ; folder = dirname(folder)) {
    let project;
    try {
      project = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
    } catch (error) {
      if (error.code !== "ENOENT") throw new HarnessError(`${join(folder, "package.json")}: ${error.message}`);
    }
    if (project?.capstan?.output) return join(folder, project.capstan.output);
    if (folder === dirname(folder)) break;
  }
  throw new HarnessError(
    `which component is tested? No package.json in ${here} or above has capstan.output; name the file in $CAPSTAN_COMPONENT`,
  );
}

/** What was named, else what the project's build makes. */
function component(named) {
  const path = resolve(named ?? (process.env.CAPSTAN_COMPONENT || output()));
  if (!statSync(path, { throwIfNoEntry: false })?.isFile()) {
    throw new HarnessError(
      `there is no component ${path}; run \`capstan plugin build\` first, or name the file in $CAPSTAN_COMPONENT`,
    );
  }
  return path;
}

const host = () => process.env.CAPSTAN || "capstan";

const ask = (request) =>
  new Promise((done, failed) => {
    const child = spawn(host(), ["plugin", "harness"]);
    const said = { stdout: [], stderr: [] };
    child.on("error", (error) =>
      failed(
        new HarnessError(
          `there is no ${host()} to run the component with (${error.code}); install Capstan, or name its program in $CAPSTAN`,
        ),
      ),
    );
    // One that ends before it has read all says why.
    child.stdin.on("error", () => {});
    child.stdin.end(JSON.stringify(request));
    for (const stream of ["stdout", "stderr"]) child[stream].on("data", (data) => said[stream].push(data));
    child.on("close", () => done({ stdout: String(Buffer.concat(said.stdout)), stderr: String(Buffer.concat(said.stderr)) }));
  });

class Run {
  constructor(report) {
    const { files, programs, requests, ...rest } = report;
    Object.assign(this, rest);
    const entries = Object.entries(files);
    const isFile = (one) => one === null || typeof one === "string" || "base64" in one;
    this.files = new Map(entries.filter(([, one]) => isFile(one)).map(([path, one]) => [path, one === null ? null : bytesOf(one)]));
    this.folders = entries.filter(([, one]) => one?.directory).map(([path]) => path);
    this.programs = programs.map((one) => ({ ...one, stdin: one.stdin === null ? null : bytesOf(one.stdin) }));
    this.requests = requests.map((one) => {
      const body = bytesOf(one.body);
      return { ...one, body, json: () => JSON.parse(String(body)) };
    });
  }

  assertSuccess() {
    if (this.status !== "Success" || this.unanswered.length > 0) throw new Error(`the step did not succeed\n${this}`);
    return this;
  }

  denied(capability, target) {
    return this.denials.some((one) => one.capability === capability && one.target === target);
  }

  text(path) {
    const data = this.files.get(path);
    return data ? String(data) : undefined;
  }

  toString() {
    const lines = [`${this.action}: ${this.status} (${this.statusDetail}), exit code ${this.exitCode}`];
    const tell = (what, text) => text.trim() && lines.push(`${what}: ${text.trimEnd()}`);
    for (const key of ["message", "stdout", "stderr"]) tell(key, this[key]);
    for (const one of this.unanswered) tell("unanswered", one);
    for (const one of this.denials) tell("denied", `${one.capability} ${one.target}: ${one.hint}`);
    return lines.join("\n");
  }
}

export async function runComponent(world = {}, inputs = {}, options = {}) {
  const { files = {}, programs = {}, responses = {}, signals = [], policy, deny, limits, step, ...rest } = world;
  const request = {
    component: component(options.component),
    action: options.action,
    inputs,
    policy,
    deny,
    limits,
    step,
    world: {
      ...rest,
      files: Object.fromEntries(Object.entries(files).map(([path, one]) => [path, file(one)])),
      programs: inTurn(programs, program),
      http: inTurn(responses, response),
      signals: signals.map((one) => (typeof one === "string" ? { name: one } : one)),
    },
  };
  const { stdout, stderr } = await ask(request);
  let report;
  try {
    report = JSON.parse(stdout);
  } catch {
    throw new HarnessError(`${host()} answered with something that is no report; is it of another version? ${stderr.trim()}`);
  }
  if (report.error !== undefined) throw new HarnessError(report.error);
  return new Run(report);
}

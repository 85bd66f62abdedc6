// Tests of actions and collectors in Node, against a host that is scripted.
import { createHash } from "node:crypto";
import { bytes, install, text } from "./host.js";

const fail = (tag, val) => Object.assign(new Error(tag), { payload: { tag, val } });

class FakeHost {
  constructor({ programs = {}, responses = {}, files = {}, parameters = {}, secrets = [], documents = {}, denied = [], cancelled = false } = {}) {
    Object.assign(this, { programs, responses, parameters, documents });
    this.files = new Map(Object.entries(files).map(([path, data]) => [path, bytes(data)]));
    this.secrets = new Set(secrets);
    this.denied = new Set(denied);
    this.isCancelled = cancelled;
    this.commands = [];
    this.requests = [];
    this.logs = [];
    this.progress = [];
    this.stdout = "";
    this.stderr = "";
  }

  #check(capability, target) {
    if (this.denied.has(target)) throw fail("denied", { capability, target, hint: `${capability}: [${target}]` });
  }

  #content(path) {
    this.#check("files", path);
    const found = this.files.get(path);
    if (!found) throw fail("not-found", path);
    return found;
  }

  #names(path) {
    const prefix = `${path.replace(/\/+$/, "")}/`;
    const found = new Map();
    for (const one of this.files.keys()) {
      if (!one.startsWith(prefix)) continue;
      const [head, ...rest] = one.slice(prefix.length).split("/");
      found.set(head, rest.length ? "directory" : "file");
    }
    return found;
  }

  #write(target, data) {
    this[target] += text(data);
  }

  #spawn(command) {
    this.#check("programs", command.program);
    const program = this.programs[command.program];
    if (!program) throw fail("not-found", `the program ${command.program}`);
    this.commands.push(command);
    const answer = program(command);
    const { status = 0, stdout = "", stderr = "" } =
      typeof answer === "number" ? { status: answer } : typeof answer === "string" ? { stdout: answer } : (answer ?? {});
    const chunks = [];
    for (const [source, data] of Object.entries({ stdout: bytes(stdout), stderr: bytes(stderr) })) {
      if (data.length && ["capture", "both"].includes(command[source])) chunks.push({ source, data });
      if (data.length && ["step", "both"].includes(command[source])) this.#write(source, data);
    }
    return {
      read: () => chunks.splice(0),
      wait: () => [{ tag: "code", val: status }, { wallMillis: 0n, cpuMillis: 0n, peakMemoryBytes: 0n }],
      kill() {},
    };
  }

  #send(request) {
    this.#check("hosts", request.url);
    this.requests.push(request);
    let answer = this.responses[`${request.method} ${request.url}`] ?? this.responses[request.url];
    if (typeof answer === "function") answer = answer(request);
    if (answer === undefined) throw fail("not-found", `the test's response for ${request.method} ${request.url}`);
    const { status = 200, headers = {}, body = "" } =
      typeof answer === "number" ? { status: answer } : typeof answer === "string" ? { body: answer } : answer;
    let left = typeof body === "string" || body instanceof Uint8Array ? bytes(body) : bytes(JSON.stringify(body));
    return {
      status: () => status,
      headers: () => Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]),
      url: () => request.url,
      read(most) {
        const part = left.subarray(0, most);
        left = left.subarray(most);
        return part;
      },
    };
  }

  /** The interfaces of the contract. */
  get interfaces() {
    const of = (capability, map, name) => {
      this.#check(capability, name);
      if (!(name in map)) throw fail("not-found", name);
      return map[name];
    };
    return {
      step: {
        write: (target, data) => this.#write(target, data),
        progress: (done, total, note) => this.progress.push({ done: Number(done), total: total === undefined ? undefined : Number(total), note }),
        log: (level, message, fields) => this.logs.push({ level, message, fields: fields === undefined ? undefined : JSON.parse(fields) }),
        cancelled: () => this.isCancelled,
      },
      process: {
        spawn: (command) => this.#spawn(command),
        find: (name) => (this.programs[name] && !this.denied.has(name) ? `/usr/bin/${name}` : undefined),
      },
      http: { send: (request) => this.#send(request), awsEndpoint: () => undefined, awsRegion: () => "us-east-1" },
      parameters: {
        get: (name) => {
          const val = of("parameters", this.parameters, name);
          return { tag: Array.isArray(val) ? "text-list" : "text", val };
        },
      },
      secrets: {
        get: (name) => {
          this.#check("secrets", name);
          if (!this.secrets.has(name)) throw fail("not-found", `the secret ${name}`);
          return `{{placeholder:${name}}}`;
        },
      },
      control: {
        getDocument: (name) => of("documents", this.documents, name),
        runDocument: (name) => {
          this.#check("documents", name);
          return { status: "Success", exitCode: 0 };
        },
      },
      files: {
        stat: (path) => {
          this.#check("files", path);
          const folder = !this.files.has(path) && this.#names(path).size > 0;
          const size = folder ? 0 : this.#content(path).length;
          return { kind: folder ? "directory" : "file", size: BigInt(size), modified: 0n, mode: folder ? 0o755 : 0o644 };
        },
        listDirectory: (path) => {
          this.#check("files", path);
          const found = this.#names(path);
          if (found.size === 0) throw fail("not-found", path);
          return [...found].sort().map(([name, kind]) => ({ name, kind }));
        },
        read: (path, offset, length) => this.#content(path).subarray(Number(offset), Number(offset) + length),
        createDirectory: (path) => this.#check("files", path),
        remove: (path, recursive) => {
          this.#check("files", path);
          const gone = [...this.files.keys()].filter((one) => one === path || (recursive && one.startsWith(`${path}/`)));
          if (gone.length === 0) throw fail("not-found", path);
          for (const one of gone) this.files.delete(one);
        },
        setMode: (path) => void this.#content(path),
        append: (path, data) => {
          this.#check("files", path);
          this.files.set(path, Buffer.concat([this.files.get(path) ?? new Uint8Array(), data]));
        },
        create: (path) => {
          this.#check("files", path);
          const parts = [];
          const writer = {
            write: (data) => void parts.push(data),
            sha256: () => createHash("sha256").update(Buffer.concat(parts)).digest("hex"),
            commit: () => void this.files.set(path, Buffer.concat(parts)),
            discard: () => void parts.splice(0),
          };
          return [writer, 0n];
        },
      },
    };
  }
}

export async function withHost(script, run) {
  const host = new FakeHost(script);
  const before = install(host.interfaces);
  try {
    return await run(host);
  } finally {
    install(before);
  }
}

export const testContext = (changes = {}) => ({
  runId: "test-run",
  nodeId: "test-node",
  document: "test",
  step: "test",
  action: "test",
  attempt: 1,
  platform: { kind: "linux", name: "debian", version: "12", architecture: "x86_64" },
  workDirectory: "/work",
  downloadsDirectory: "/downloads",
  dataDirectory: "/data",
  deadline: new Date(Date.now() + 3_600_000),
  environment: {},
  ...changes,
});

const throughJson = (value) => JSON.parse(JSON.stringify(value ?? null));

export const start = (action, inputs = {}, context = testContext()) => action.start(context, throughJson(inputs));
export const resume = (action, waiting, event = { kind: "timer" }, context = testContext()) =>
  action.resume(context, throughJson(waiting.state), event);
export async function collect(collector, settings = {}, context = testContext()) {
  const items = await collector.collect(context, throughJson(settings));
  return items.map((item) => ({ ...item, content: item.content.map((entry) => Object.fromEntries(entry)) }));
}

export { HarnessError, runComponent } from "./harness.js";

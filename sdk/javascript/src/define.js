import { Failure } from "./errors.js";
import { check, jsonOf } from "./schema.js";

const platformNames = ["Linux", "MacOS", "Windows"];
const accessWords = ["read-only", "read-write", "read", "list", "execute", "write", "create", "remove", "replace", "append"];
const useWords = ["header", "body", "environment", "stdin"];
const kinds = ["files", "programs", "hosts", "parameters", "secrets", "documents", "signing", "children"];

function refuse(where, why) {
  throw new TypeError(`${where}: ${why}`);
}

/** The capabilities as a manifest has them. */
function requests(where, given) {
  const found = {};
  for (const [kind, wanted] of Object.entries(given)) {
    if (!kinds.includes(kind)) refuse(where, `there is no capability \`${kind}\`; there are ${kinds.join(", ")}`);
    if (kind === "children") {
      if (!["same", "any"].includes(wanted)) refuse(where, "children is `same` (as the action itself) or `any` (all that the policy grants)");
      if (wanted !== "same") found.children = wanted;
      continue;
    }
    const entries = kind === "programs" ? Object.entries(wanted) : wanted.map((one, at) => [`${kind}[${at}]`, one]);
    for (const [name, entry] of entries) {
      if (typeof entry.reason !== "string" || !entry.reason.trim()) refuse(where, `the capability ${name} needs a reason, which the operator reads`);
    }
    if (kind === "files") {
      found.files = wanted.map(({ path, access, ...rest }) => {
        if (!/^(\/|\$\{)/.test(path)) refuse(where, `the path \`${path}\` is not absolute: it starts with / or with a \${…} binding`);
        const list = [access ?? "read-only"].flat();
        for (const word of list) {
          if (!accessWords.includes(word)) refuse(where, `\`${word}\` is no access to files; use ${accessWords.join(", ")}`);
        }
        return { path, access: list, ...rest };
      });
    } else if (kind === "programs") {
      found.programs = Object.fromEntries(
        entries.map(([name, { paths, arguments: shape = [], ...rest }]) => {
          const list = [paths].flat();
          for (const path of list) {
            if (!path?.startsWith("/")) refuse(where, `the path \`${path}\` of the program ${name} is not absolute`);
          }
          return [name, { paths: list, arguments: shape, ...rest }];
        }),
      );
    } else {
      for (const word of kind === "secrets" ? wanted.flatMap((one) => one.uses ?? []) : []) {
        if (!useWords.includes(word)) refuse(where, `\`${word}\` is no place for a secret; use ${useWords.join(", ")}`);
      }
      found[kind] = wanted.map((one) => ({ ...one }));
    }
  }
  return found;
}

/** What actions and collectors share. */
class Component {
  constructor(word, definition, run) {
    const names = [definition.name ?? []].flat();
    const where = `the ${word} ${names[0] ?? ""}`.trim();
    if (names.length === 0) refuse(where, "it needs a name");
    if (word === "action") {
      for (const name of names) {
        if (!String(name).includes(":")) refuse(where, `an action's name has a namespace, as in acme:${name}`);
      }
    }
    if (!/^\d+\.\d+\.\d+([-+][0-9A-Za-z.+-]+)?$/.test(definition.version ?? "")) refuse(where, "its version is not of the form 1.2.3");
    if (!definition.description?.trim()) refuse(where, "it needs a description, one sentence");
    if (typeof run !== "function") refuse(where, `it needs the function \`${word === "action" ? "run" : "collect"}\``);
    for (const one of definition.platforms ?? []) {
      if (!platformNames.includes(one)) refuse(where, `there is no platform ${one}; there are ${platformNames.join(", ")}`);
    }
    this.word = word;
    this.names = names;
    this.definition = definition;
    this.capabilities = requests(where, definition.capabilities ?? {});
    const given = word === "action" ? definition.inputs : definition.settings;
    this.schema = given === undefined ? { type: "object", properties: {}, additionalProperties: false } : jsonOf(given);
    if (this.schema.type !== "object") refuse(where, "its inputs are an object");
  }

  manifest() {
    const { version, description, platforms, limits } = this.definition;
    return {
      [this.word === "action" ? "actions" : "collectors"]: this.names,
      version,
      description: description.trim().replaceAll(/\s+/g, " "),
      inputSchema: this.schema,
      ...(platforms?.length ? { platforms } : {}),
      ...(Object.keys(this.capabilities).length ? { capabilities: this.capabilities } : {}),
      ...(limits ? { limits } : {}),
    };
  }

  inputs(value) {
    return check(this.schema, value ?? {});
  }
}

/** An action, as `defineAction` makes it. */
export class Action extends Component {
  constructor(definition) {
    super("action", definition, definition.run);
  }

  async start(context, inputs) {
    return outcome(await this.definition.run(context, this.inputs(inputs)));
  }

  async resume(context, state, event) {
    if (!this.definition.resume) throw new Failure(`the action ${this.names[0]} does not wait, so there is nothing to resume`);
    return outcome(await this.definition.resume(context, state, event));
  }
}

/** A collector, as `defineCollector` makes it. */
export class Collector extends Component {
  constructor(definition) {
    super("collector", definition, definition.collect);
  }

  async collect(context, settings) {
    const found = await this.definition.collect(context, this.inputs(settings));
    return [found ?? []].flat().map(item);
  }
}

export const defineAction = (definition) => new Action(definition);
export const defineCollector = (definition) => new Collector(definition);

function item({ typeName, schemaVersion = "1.0", content }) {
  if (typeof typeName !== "string") throw new Failure("an item has a typeName, as in Custom:ApplicationConfig");
  if (!/^\d+\.\d+$/.test(schemaVersion)) throw new Failure(`the item ${typeName} has the schema version \`${schemaVersion}\`, which is not of the form 1.0`);
  const entries = (content ?? []).map((entry) =>
    Object.entries(entry)
      .filter(([, value]) => value !== null && value !== undefined)
      .map(([key, value]) => {
        if (typeof value === "object" && !(value instanceof Date)) {
          throw new Failure(`the attribute ${key} of an entry of ${typeName} is not a single value; the inventory has text only`);
        }
        return [key, value instanceof Date ? value.toISOString() : String(value)];
      }),
  );
  return { typeName, schemaVersion, content: entries };
}

/** A wait, as `suspend` makes it. */
export class Suspension {
  constructor(fields) {
    Object.assign(this, fields);
  }
}

/** An end, as `done` makes it. */
export class Result {
  constructor(outputs, status = "success", exitCode = 0) {
    Object.assign(this, { outputs, status, exitCode });
  }
}

export const done = (outputs, { status, exitCode } = {}) => new Result(outputs, status, exitCode);
export const skipped = (outputs) => new Result(outputs, "skipped");

export function suspend(state, { reason, after, until, signal = [], reboot = false }) {
  const signals = [signal].flat();
  let at;
  if (after !== undefined) at = Date.now() + after;
  else if (until !== undefined) at = Number(until);
  if (!reason) throw new TypeError("a wait needs a reason, which the operator reads");
  if (at !== undefined && !Number.isFinite(at)) throw new TypeError("`after` is in milliseconds, and `until` a Date");
  if (reboot && (at !== undefined || signals.length)) throw new TypeError("a restart of the machine is waited for alone");
  if (!reboot && at === undefined && signals.length === 0) throw new TypeError("say what to wait for: after, until, signal or reboot");
  return new Suspension({ state, at: at === undefined ? undefined : Math.floor(at), signals, reboot, reason });
}

/** What an action returned, in one of two forms. */
function outcome(value) {
  if (value instanceof Suspension) return value;
  const result = value instanceof Result ? value : new Result(value);
  if (result.outputs !== undefined && result.outputs !== null && (typeof result.outputs !== "object" || Array.isArray(result.outputs))) {
    throw new Failure(`an action returns an object or nothing, not ${Array.isArray(result.outputs) ? "an array" : typeof result.outputs}`);
  }
  return result;
}

/** Write actions and inventory collectors for Capstan in JavaScript and TypeScript. */

/** What a schema made with `s` describes. `Out` is the value's type, `Absent` whether it may be missing. */
export declare class Schema<Out, Absent extends boolean = false> {
  private readonly out: Out;
  private readonly absent: Absent;
  /** The JSON Schema. */
  readonly json: JsonSchema;
  /** The same, and the value may be absent. */
  optional(): Schema<Out | undefined, true>;
  /** The same with a description, which people read before they use the action. */
  describe(description: string): Schema<Out, Absent>;
  /** The same with a value for an absent input. */
  default(value: Out): Schema<Out, false>;
}

/** A JSON Schema. Known are `type`, `properties`, `required`, `additionalProperties`, `items`, `enum`, `default`, `anyOf` and the limits. */
export type JsonSchema = { readonly [keyword: string]: unknown };

/** Inputs by name. */
export type Fields = { readonly [name: string]: Schema<any, boolean> };

type Simplify<T> = { [K in keyof T]: T[K] } & {};
type AbsentKeys<F extends Fields> = { [K in keyof F]: F[K] extends Schema<any, true> ? K : never }[keyof F];

/** The values of fields. */
export type ValuesOf<F extends Fields> = Simplify<
  { [K in Exclude<keyof F, AbsentKeys<F>>]: F[K] extends Schema<infer T, boolean> ? T : never } & {
    [K in AbsentKeys<F>]?: F[K] extends Schema<infer T, boolean> ? T : never;
  }
>;

/** The value of a schema, of whichever form; of plain JSON Schema it is not known. */
export type Infer<T> = T extends Schema<infer Out, boolean>
  ? Out
  : T extends Fields
    ? ValuesOf<T>
    : T extends JsonSchema
      ? Record<string, any>
      : never;

interface Keywords {
  description?: string;
  examples?: readonly unknown[];
}
interface TextKeywords extends Keywords {
  minLength?: number;
  maxLength?: number;
  pattern?: string;
}
interface NumberKeywords extends Keywords {
  minimum?: number;
  maximum?: number;
}
interface ListKeywords extends Keywords {
  minItems?: number;
  maxItems?: number;
}

/** Makes schemas. Documents hand over text for most things, so `"30"` is good for an integer and `"true"` for a boolean. */
export declare const s: {
  string(keywords?: TextKeywords): Schema<string>;
  integer(keywords?: NumberKeywords): Schema<number>;
  number(keywords?: NumberKeywords): Schema<number>;
  boolean(keywords?: Keywords): Schema<boolean>;
  /** One of some words. */
  enum<const V extends readonly string[]>(values: V, keywords?: Keywords): Schema<V[number]>;
  array<T>(items: Schema<T, boolean>, keywords?: ListKeywords): Schema<T[]>;
  /** A mapping with keys of its own. */
  record<T>(values: Schema<T, boolean>, keywords?: Keywords): Schema<Record<string, T>>;
  object<F extends Fields>(fields: F, keywords?: Keywords): Schema<ValuesOf<F>>;
  any(keywords?: Keywords): Schema<any>;
};

/** What every request says: why, for the operator, and whether the action works without. */
interface Request {
  reason: string;
  optional?: boolean;
}

/** What can be done with a file or folder. */
export type Access =
  | "read-only"
  | "read-write"
  | "read"
  | "list"
  | "execute"
  | "write"
  | "create"
  | "remove"
  | "replace"
  | "append";

/**
 * What an action asks for. Texts may hold `${inputs.KEY}`, which stands for the step's input, and
 * `${context.workDirectory}`, `${context.downloadsDirectory}` or `${context.dataDirectory}`.
 */
export interface Capabilities {
  /** Files and folders, absolute. */
  files?: (Request & { path: string; access?: Access | Access[] })[];
  /**
   * Programs, by the names that `process` uses. `paths` are absolute, the first that exists is used. `arguments` is their
   * shape: literals, and holes `{word}`, `{int}`, `{path}`, `{text}`, and last `{words...}` or `{rest...}`.
   */
  programs?: Record<string, Request & { paths: string | string[]; arguments?: string[] }>;
  /** Hosts: `https://example.com`, with optional port and path pattern; a binding to an input; or `*`. */
  hosts?: (Request & { url: string; methods?: string[] })[];
  /** Parameters, with a trailing `*` several. */
  parameters?: (Request & { name: string })[];
  /** Secrets, where their values may go, and in requests to which hosts. */
  secrets?: (Request & { name: string; uses?: ("header" | "body" | "environment" | "stdin")[]; hosts?: string[] })[];
  /** Documents to read or run. */
  documents?: (Request & { name: string })[];
  /** AWS services that the host signs requests for. */
  signing?: (Request & { name: string })[];
  /** What programs may do beyond the action: `same` is no more, `any` is all that the policy grants. */
  children?: "same" | "any";
}

/** Where and for whom a step runs. */
export interface Context {
  runId: string;
  nodeId: string;
  document: string;
  step: string;
  /** The action as the document names it. */
  action: string;
  /** Counts from 1; more when an interrupted step runs again. */
  attempt: number;
  platform: { kind: string; name: string; version: string; architecture: string };
  /** The step's own folder, kept with the run's outputs. */
  workDirectory: string;
  /** Shared by the steps of a run. */
  downloadsDirectory: string;
  /** Outlives runs, when it is requested. */
  dataDirectory: string;
  /** The end of the step's time. */
  deadline: Date;
  /** What the document adds to the programs of the step. */
  environment: Record<string, string>;
}

/** Why an action goes on. */
export type Event =
  | { kind: "timer" }
  | { kind: "signal"; name: string; payload?: any }
  | { kind: "rebooted" };

/** How a step ended, where outputs alone do not say it; made by `done` and `skipped`. */
export declare class Result {
  private constructor();
  readonly outputs: unknown;
  readonly status: string;
  readonly exitCode: number;
}

/** A wait; made by `suspend`. */
export declare class Suspension {
  private constructor();
  readonly state: unknown;
  readonly at?: number;
  readonly signals: string[];
  readonly reboot: boolean;
  readonly reason: string;
}

/** What an action returns. */
export type Outcome = object | void | undefined | null | Result | Suspension;

interface Definition {
  /** Semantic version. */
  version: string;
  /** One sentence for people. */
  description: string;
  capabilities?: Capabilities;
  /** Where it works; nothing is everywhere. */
  platforms?: ("Linux" | "MacOS" | "Windows")[];
  /** What a normal run uses. */
  limits?: Record<string, unknown>;
}

/** What `defineAction` takes. */
export interface ActionDefinition<I extends Schema<any, boolean> | Fields | JsonSchema, State> extends Definition {
  /** `acme:rotateLogs`; several when one component serves several names. */
  name: string | string[];
  /** The inputs: schemas by name, `s.object(…)`, or plain JSON Schema. */
  inputs?: I;
  /** Begins the step. */
  run(context: Context, inputs: Infer<I>): Outcome | Promise<Outcome>;
  /** Goes on after a wait, with the state that was given to `suspend`, which went through JSON. */
  resume?(context: Context, state: State, event: Event): Outcome | Promise<Outcome>;
}

/** What `defineCollector` takes. */
export interface CollectorDefinition<I extends Schema<any, boolean> | Fields | JsonSchema> extends Definition {
  name: string | string[];
  /** The settings of the document: schemas by name, `s.object(…)`, or plain JSON Schema. */
  settings?: I;
  /** Looks at the machine. */
  collect(context: Context, settings: Infer<I>): Item | Item[] | Promise<Item | Item[]>;
}

/** All that was found of one type, in the form of SSM's inventory. */
export interface Item {
  /** `Custom:` and a name. */
  typeName: string;
  /** Two numbers; `1.0` when absent. */
  schemaVersion?: string;
  /** Entries, whose values are written as text; what is null or undefined is left out. */
  content: Record<string, string | number | boolean | Date | null | undefined>[];
}

/** An action; the default export of a module. */
export declare class Action {
  private constructor();
  readonly names: string[];
  manifest(): Record<string, any>;
}

/** A collector; the default export of a module. */
export declare class Collector {
  private constructor();
  readonly names: string[];
  manifest(): Record<string, any>;
}

/** Makes an action. */
export declare function defineAction<const I extends Schema<any, boolean> | Fields | JsonSchema = {}, State = any>(
  definition: ActionDefinition<I, State>,
): Action;

/** Makes an inventory collector. */
export declare function defineCollector<const I extends Schema<any, boolean> | Fields | JsonSchema = {}>(
  definition: CollectorDefinition<I>,
): Collector;

/** An end with outputs and another status or code: `done({ left: 3 }, { status: "failed", exitCode: 2 })`. */
export declare function done(
  outputs?: object | null,
  end?: { status?: "success" | "failed" | "timed-out" | "cancelled" | "skipped" | (string & {}); exitCode?: number },
): Result;

/** There was nothing to do here. */
export declare function skipped(outputs?: object | null): Result;

/**
 * To be returned by an action that waits: nothing of it stays in memory, and its `resume` is called with `state` when the time
 * has come, the signal has arrived or the machine was restarted. `after` is in milliseconds. With a time and a signal,
 * whatever comes first. `state` is anything that JSON can hold.
 */
export declare function suspend(
  state: unknown,
  wait: { reason: string; after?: number; until?: Date | number; signal?: string | string[]; reboot?: boolean },
): Suspension;

/** Ends a step as failed. The message is one sentence: what went wrong and what to do. */
export declare class Failure extends Error {
  constructor(message: string, detail?: unknown);
  readonly kind: string;
  readonly detail: unknown;
}
/** The inputs do not make sense. */
export declare class InvalidInput extends Failure {
  constructor(message: string, key?: string);
  readonly key?: string;
}
/** It took too long. */
export declare class TimedOut extends Failure {}
/** The operator asked the step to stop. */
export declare class Cancelled extends Failure {}
/** The grant does not hold what a call needs. Catch it to do without. */
export declare class Denied extends Failure {
  constructor(capability: string, target: string, hint: string);
  /** `files`, `programs`, `hosts`, … */
  readonly capability: string;
  /** What was asked for, as the host resolved it. */
  readonly target: string;
  /** What a policy would have to grant. */
  readonly hint: string;
}
/** A file, parameter, secret or program does not exist. */
export declare class NotFound extends Failure {}
/** A limit of the step is used up. */
export declare class LimitExceeded extends Failure {}
/** The arguments of a host call are wrong. */
export declare class InvalidCall extends Failure {}
/** The operating system or the network failed. */
export declare class HostError extends Failure {}
/** A program ended with another code than 0. */
export declare class ProgramFailed extends Failure {
  readonly status: number | null;
  readonly signal: number | null;
  readonly stdout: string | Uint8Array | null;
  readonly stderr: string | Uint8Array | null;
}

/** The running step. What `console` prints is the step's output as well. */
export declare const step: {
  /** Appends to the step's standard output. */
  write(data: string | Uint8Array): void;
  /** Appends to the step's standard error. */
  writeError(data: string | Uint8Array): void;
  /** Tells how far the step is; `total` is in the unit of `done`. */
  progress(done: number, total?: number, note?: string): void;
  /** A message for the operator, with fields of your own. */
  log(level: "trace" | "debug" | "info" | "warn" | "error", message: string, fields?: object): void;
  /** True once the operator asked the step to stop. */
  cancelled(): boolean;
  /** Throws `Cancelled` once the operator asked the step to stop. */
  checkCancelled(): void;
};

/** The value of a secret, by name; made by `secrets.ref`. */
export declare class SecretRef {
  constructor(name: string);
  readonly name: string;
}

/** Secrets and secure parameters, whose values never reach an action. */
export declare const secrets: {
  /**
   * A placeholder, worthless by itself: put it into a header or body of a request, the environment or the standard input of a program, and the
   * host puts the value in its place. It is good for one call of the action.
   */
  get(name: string): string;
  /** The value by name, for `env` and `input` of a program. */
  ref(name: string): SecretRef;
};

/** Parameter Store values that are not secret. */
export declare const parameters: { get(name: string): string | string[] };

/** Documents of the node; not for collectors. */
export declare const documents: {
  /** The text of a document. */
  get(name: string): string;
  /** Runs a document inside of this step: the node's of this name, or `content`. */
  run(name: string, parameters?: object, content?: string): { status: string; exitCode: number };
};

/** A file that takes its name only when it is complete. */
export interface Writer {
  /** How many bytes an earlier, interrupted writer left. */
  readonly kept: number;
  write(data: string | Uint8Array): void;
  /** The digest of what was written so far, hexadecimal. */
  sha256(): string;
  /** Puts the file in its place. Without it, the file is dropped. */
  commit(): void;
  discard(): void;
}

/** What a path names. */
export interface Stats {
  kind: "file" | "directory" | "symlink" | "other";
  size: number;
  mtime: Date;
  mode: number;
  isFile(): boolean;
  isDirectory(): boolean;
}

/** Files by absolute path, as far as granted; in the manner of `node:fs`. */
export declare const files: {
  /** The whole of a file, up to 16 MiB. */
  readFile(path: string): Uint8Array;
  readFile(path: string, encoding: "utf8"): string;
  /** A part of a file; empty at its end. */
  read(path: string, offset: number, length: number): Uint8Array;
  /** Replaces a file, whole or not at all. */
  writeFile(path: string, data: string | Uint8Array, options?: { mode?: number }): void;
  /** A writer for a large file; with `resume`, a key of your choice, what an interrupted writer wrote is kept. */
  createWriter(path: string, options?: { mode?: number; resume?: string }): Writer;
  /** Adds to the end of a file, which is made if it is missing. */
  appendFile(path: string, data: string | Uint8Array): void;
  /** Follows symbolic links; `NotFound` when there is nothing. */
  stat(path: string): Stats;
  /** Whether there is something; a denial is thrown and is not a no. */
  exists(path: string): boolean;
  /** The entries of a folder, by name. */
  readdir(path: string): { name: string; kind: Stats["kind"] }[];
  /** Makes a folder and the missing ones above it. */
  mkdir(path: string): void;
  rm(path: string, options?: { recursive?: boolean }): void;
  chmod(path: string, mode: number): void;
};

/** Where a program's output goes: to the step's output, to the action, nowhere, or to the first two. */
export type Target = "inherit" | "pipe" | "ignore" | "tee";

/** How a program is started. */
export interface ProgramOptions {
  /** What it reads; a `SecretRef` is filled in by the host. */
  input?: string | Uint8Array | SecretRef;
  /** `pipe` for both when absent, as in Node. The first of three is not used. */
  stdio?: Target | [unknown, Target, Target];
  cwd?: string;
  /** Added to the step's environment. */
  env?: Record<string, string | SecretRef>;
  /** In milliseconds; throws `TimedOut`. */
  timeout?: number;
}

/** What a program and its descendants used. */
export interface Usage {
  wallMillis: number;
  cpuMillis: number;
  peakMemoryBytes: number;
}

/** A program that runs. */
export interface Child extends Iterable<{ source: "stdout" | "stderr"; data: Uint8Array }> {
  /** Waits for captured output; empty at the end. */
  read(size?: number): { source: "stdout" | "stderr"; data: Uint8Array }[];
  wait(): { status: number | null; signal: number | null; usage: Usage };
  /** Ends the program and all that it started. */
  kill(): void;
}

/** Programs, in the manner of `node:child_process`: by the name of a capability, and never through a shell. */
export declare const process: {
  spawn(program: string, args?: string[], options?: ProgramOptions): Child;
  /** Runs a program to its end. */
  spawnSync(
    program: string,
    args?: string[],
    options?: ProgramOptions & { encoding?: "utf8"; maxBuffer?: number },
  ): { status: number | null; signal: number | null; stdout: string | null; stderr: string | null; usage: Usage };
  spawnSync(
    program: string,
    args: string[],
    options: ProgramOptions & { encoding: "buffer"; maxBuffer?: number },
  ): { status: number | null; signal: number | null; stdout: Uint8Array | null; stderr: Uint8Array | null; usage: Usage };
  /** What a program prints; `ProgramFailed` when its code is not 0. */
  execFileSync(program: string, args?: string[], options?: ProgramOptions & { encoding?: "utf8"; maxBuffer?: number }): string;
  execFileSync(program: string, args: string[], options: ProgramOptions & { encoding: "buffer"; maxBuffer?: number }): Uint8Array;
  /** The path of a program capability, when it is there and granted. */
  find(program: string): string | undefined;
};

/** Credentials by the names of secrets: the host fills them in. */
export type Auth =
  | { type: "basic" | "digest"; user: string; secret: string }
  | { type: "bearer"; secret: string }
  | { type: "aws-sigv4"; service: string; region?: string };

/** An answer. */
export interface HttpResponse {
  readonly status: number;
  readonly ok: boolean;
  /** The URL that answered, after redirects. */
  readonly url: string;
  readonly headers: {
    get(name: string): string | null;
    has(name: string): boolean;
    entries(): IterableIterator<[string, string]>;
    [Symbol.iterator](): IterableIterator<[string, string]>;
  };
  /** The body in pieces, as it comes; once. */
  chunks(size?: number): IterableIterator<Uint8Array>;
  bytes(): Promise<Uint8Array>;
  arrayBuffer(): Promise<ArrayBuffer>;
  text(): Promise<string>;
  json(): Promise<any>;
}

/** Sends a request, which the host makes and checks; also there as the global `fetch`. */
export declare function fetch(
  url: string | { toString(): string },
  options?: {
    method?: string;
    headers?: Record<string, string> | Iterable<[string, string]>;
    body?: string | Uint8Array | ArrayBuffer | null | { toString(): string };
    /** A body that is sent as JSON. */
    json?: unknown;
    auth?: Auth;
    /** For all of it, in milliseconds. */
    timeout?: number;
    redirect?: "follow" | "manual" | "error";
  },
): Promise<HttpResponse>;

/** What the node knows of AWS. */
export declare const aws: {
  /** The endpoint that the operator set for a service; undefined for AWS's own. */
  endpoint(service: string): string | undefined;
  region(): string;
};

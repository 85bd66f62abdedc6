/** The built component in the real host, against a scripted world. */

/** Why a component was not run at all. How a step ends is in its run. */
export declare class HarnessError extends Error {}

/** What a program does when it is run. */
export interface ProgramAnswer {
  /** The code that it ends with. */
  status?: number;
  stdout?: string | Uint8Array;
  stderr?: string | Uint8Array;
  /** It answers to just these. */
  arguments?: string[];
  /** Files that it makes or replaces, if the step's programs may. */
  writes?: Record<string, string | Uint8Array>;
  /** Files and folders that it removes, the same. */
  removes?: string[];
  /** A signal ends it. */
  signal?: number;
  /** The time-out of its command ends it. */
  timesOut?: boolean;
  /** It is not on this machine. */
  absent?: boolean;
  /** Milliseconds, by the clock of the test. */
  takes?: number;
  /** How often it does so; then the next answer is asked. */
  times?: number;
}

/** What a server answers. */
export interface ResponseAnswer {
  status?: number;
  headers?: Record<string, string>;
  /** Text, bytes, or anything for JSON. */
  body?: any;
  /** The server cannot be reached, for this reason. */
  error?: string;
  /** The server does not answer in time. */
  timesOut?: boolean;
  /** How often it answers so; then the next answer is asked. */
  times?: number;
}

type Program = number | string | Uint8Array | ProgramAnswer;

/** A world. Without a policy, all that the manifest requests is granted, but for what `deny` names. */
export interface World {
  /** By absolute path; null is a folder. */
  files?: Record<string, string | Uint8Array | null | { data?: string | Uint8Array | null; modified?: string; mode?: number }>;
  /** By the name of a capability. A list is answered from in turn, each once, and the last for good. */
  programs?: Record<string, Program | Program[]>;
  /** By `GET https://…` or URL, in which `*` stands for any characters: a status, a body, all of it, or a list of these. */
  responses?: Record<string, any>;
  parameters?: Record<string, string | string[]>;
  /** By name. Values are never shown: where one was put, there is `{{secret:NAME}}`. */
  secrets?: Record<string, string>;
  /** Texts, or how they end when they are run. */
  documents?: Record<string, string | { content?: string; status?: string; exitCode?: number; output?: string }>;
  /** What a step that waits for them gets. Waits for a time end at once, with the clock there. */
  signals?: (string | { name: string; payload?: any })[];
  /** What the clock shows at the beginning, as `2026-01-31T12:00:00Z`. */
  now?: string;
  /** YAML or JSON. */
  policy?: string;
  /** In the words of a policy's grants; a file may be its path alone: `{ files: ["/etc/shadow"] }`. */
  deny?: Record<string, any[]>;
  /** In the words of a policy: `{ fuel: 1_000_000 }`. */
  limits?: Record<string, number | string>;
  /** What the component is told of where it runs: `document`, `name`, `nodeId`, `platform`, `environment`, … */
  step?: Record<string, any>;
}

/** All that a step did, and how it ended. */
export interface Run {
  readonly action: string;
  /** `Success`, `Failed`, `TimedOut`, `Skipped`, …; `InProgress` when it waits for something that never comes. */
  readonly status: string;
  /** More exactly: `AccessDenied`, `InvalidInput`, `FuelExhausted`, … */
  readonly statusDetail: string;
  readonly exitCode: number;
  readonly message: string;
  /** What a failure says besides. */
  readonly detail: any;
  readonly outputs: any;
  /** What a collector found. */
  readonly items: { TypeName: string; SchemaVersion: string; CaptureTime: string; Content: Record<string, string>[] }[] | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly log: { level: string; message: string; fields: any }[];
  readonly progress: { done: number; total: number | null; note: string }[];
  readonly suspensions: {
    reason: string;
    wake: { at: string | null; signals: string[]; reboot: boolean };
    resumedBy: "timer" | "signal" | "reboot" | null;
    signal: string | null;
  }[];
  readonly denials: { capability: string; target: string; hint: string }[];
  /** The same at every run. */
  readonly fuel: number;
  /** In bytes. */
  readonly peakMemory: number;
  readonly programs: {
    program: string;
    path: string;
    arguments: string[];
    environment: Record<string, string>;
    workingDirectory: string;
    stdin: Uint8Array | null;
    timeoutMillis: number | null;
  }[];
  /** Names of headers are in lower case. */
  readonly requests: { method: string; url: string; headers: Record<string, string>; body: Uint8Array; json(): any }[];
  readonly documents: { name: string; content: string; parameters: string }[];
  /** Where its secrets were put. */
  readonly secrets: { name: string; place: string }[];
  /** What was made or changed; null for what was removed. */
  readonly files: Map<string, Uint8Array | null>;
  /** New and empty ones. */
  readonly folders: string[];
  /** Of files and folders that were made or changed, octal. */
  readonly modes: Record<string, string>;
  /** What the test has no answer to. */
  readonly unanswered: string[];
  /** The component's frames, if it broke off. */
  readonly backtrace: string[];
  readonly endedAt: string;
  /** Throws, with all that is known, unless the step succeeded and the test had an answer to all that it asked. */
  assertSuccess(): this;
  /** Whether something was refused, by its path, URL or name. */
  denied(capability: string, target: string): boolean;
  /** A file that was made or changed, as text. */
  text(path: string): string | undefined;
}

/**
 * Runs the built component in the real host, from the start of the step to its end, whatever it waits for. The component is
 * `$CAPSTAN_COMPONENT`, else `capstan.output` of package.json; the host is `$CAPSTAN`, else the `capstan` of `PATH`.
 */
export declare function runComponent(world?: World, inputs?: object, options?: { component?: string; action?: string }): Promise<Run>;

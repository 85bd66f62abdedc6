/**
 * Tests of actions and collectors, against a host that is scripted: in Node with `withHost`, which is fast and can be debugged, and
 * with the built component in the real host with `runComponent`, with its grant, its checks and its fuel.
 */
import type { Action, Collector, Context, Event, Result, Suspension } from "./index.js";

export { HarnessError, runComponent, type ProgramAnswer, type ResponseAnswer, type Run, type World } from "./harness.js";

/** What the host answers with. What is in `denied`, a path, a program, a URL or a name, is refused. */
export interface Script {
  /** By the name of a capability: a code, text for standard output, or all of it. */
  programs?: Record<string, (command: any) => number | string | { status?: number; stdout?: string; stderr?: string } | void>;
  /** By `GET https://…` or URL: a status, a body, or all of it. */
  responses?: Record<string, any>;
  files?: Record<string, string | Uint8Array>;
  parameters?: Record<string, string | string[]>;
  secrets?: string[];
  documents?: Record<string, string>;
  denied?: string[];
  cancelled?: boolean;
}

/** What the action did. */
export interface FakeHost {
  readonly files: Map<string, Uint8Array>;
  readonly commands: any[];
  readonly requests: any[];
  readonly logs: { level: string; message: string; fields?: any }[];
  readonly progress: { done: number; total?: number; note: string }[];
  readonly stdout: string;
  readonly stderr: string;
}

/** Calls a function while a scripted host is in place. */
export declare function withHost<T>(script: Script, run: (host: FakeHost) => T | Promise<T>): Promise<T>;

/** A context as a step has it, with what a test wants otherwise. */
export declare function testContext(changes?: Partial<Context>): Context;

/** Starts an action as the host does: inputs go through JSON and are checked. */
export declare function start(action: Action, inputs?: object, context?: Context): Promise<Result & Suspension & { outputs: any; state: any }>;

/** Goes on after a wait; the state goes through JSON. */
export declare function resume(
  action: Action,
  waiting: Suspension,
  event?: Event,
  context?: Context,
): Promise<Result & Suspension & { outputs: any; state: any }>;

/** Calls a collector as the host does. */
export declare function collect(
  collector: Collector,
  settings?: object,
  context?: Context,
): Promise<{ typeName: string; schemaVersion: string; content: Record<string, string>[] }[]>;

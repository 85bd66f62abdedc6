export { Action, Collector, Result, Suspension, defineAction, defineCollector, done, skipped, suspend } from "./define.js";
export { Cancelled, Denied, Failure, HostError, InvalidCall, InvalidInput, LimitExceeded, NotFound, TimedOut } from "./errors.js";
export { files } from "./files.js";
export { aws, fetch } from "./http.js";
export { ProgramFailed, process } from "./process.js";
export { SecretRef, documents, parameters, secrets } from "./secrets.js";
export { Schema, s } from "./schema.js";
export { step } from "./step.js";

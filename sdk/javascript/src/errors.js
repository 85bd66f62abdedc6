/** Ends a step as failed. The message is one sentence: what went wrong and what to do. */
export class Failure extends Error {
  /** The word of the contract. */
  kind = "failed";

  constructor(message, detail) {
    super(message);
    this.name = new.target.name;
    this.detail = detail;
  }
}

/** The inputs do not make sense; `key` names the input, if it is one. */
export class InvalidInput extends Failure {
  kind = "invalid-input";

  constructor(message, key) {
    super(message, key === undefined ? undefined : { key });
    this.key = key;
  }
}

/** It took too long. */
export class TimedOut extends Failure {
  kind = "timed-out";
}

/** The operator asked the step to stop. */
export class Cancelled extends Failure {
  kind = "cancelled";
}

/** The grant does not hold what a call needs. Catch it to do without. */
export class Denied extends Failure {
  kind = "denied";

  constructor(capability, target, hint) {
    super(`${target} is not granted to this step (${capability}); a policy grants it with ${hint}`, { capability, target, hint });
    this.capability = capability;
    this.target = target;
    this.hint = hint;
  }
}

/** A file, parameter, secret or program does not exist. */
export class NotFound extends Failure {}

/** A limit of the step is used up. */
export class LimitExceeded extends Failure {}

/** The arguments of a host call are wrong. */
export class InvalidCall extends Failure {
  kind = "invalid-input";
}

/** The operating system or the network failed, or something that this version of the SDK does not know. */
export class HostError extends Failure {}

/** An exception for an error of the contract, `{ tag, val }`. */
export function ofHost({ tag, val }) {
  switch (tag) {
    case "denied":
      return new Denied(val.capability, val.target, val.hint);
    case "limit-exceeded":
      return new LimitExceeded(`a limit is used up: ${val}`);
    case "not-found":
      return new NotFound(`${val} does not exist`);
    case "invalid":
      return new InvalidCall(val);
    case "timed-out":
      return new TimedOut("it took too long");
    case "cancelled":
      return new Cancelled("the step was cancelled");
    default:
      return new HostError(String(val ?? tag));
  }
}

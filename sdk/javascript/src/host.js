// The one place through which the SDK reaches its host. Inside of a component the build puts the component's imports here;
// `capstan-sdk/testing` puts a scripted host here.
import { Failure, ofHost } from "./errors.js";

const wants = {
  process: "programs",
  files: "files",
  http: "hosts",
  secrets: "secrets",
  parameters: "parameters",
  control: "documents",
};

let current;

/** Puts a host in place, a map of interfaces, and returns the one before. */
export function install(host) {
  const before = current;
  current = host;
  return before;
}

/** An interface of the host. */
export function host(name) {
  if (!current) {
    throw new Failure("host calls work inside of a component that Capstan runs; in tests, use `withHost` of capstan-sdk/testing");
  }
  const found = current[name];
  if (!found) {
    throw new Failure(`this component was built without \`${name}\`: declare ${wants[name] ?? "it"} among its capabilities`);
  }
  return found;
}

/** Calls the host; its errors become exceptions. */
export function call(function_) {
  try {
    return function_();
  } catch (error) {
    const payload = error?.payload ?? error;
    if (payload && typeof payload === "object" && typeof payload.tag === "string" && !(payload instanceof Failure)) {
      throw ofHost(payload);
    }
    throw error;
  }
}

/** Gives a handle of the host back; those of a long loop would be too many otherwise. */
export function release(handle) {
  const dispose = handle?.[Symbol.dispose ?? Symbol.for("dispose")] ?? handle?.[Symbol.for("dispose")];
  dispose?.call(handle);
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Text as UTF-8; bytes as they are. */
export const bytes = (data) => (typeof data === "string" ? encoder.encode(data) : data instanceof Uint8Array ? data : new Uint8Array(data));

/** UTF-8 as text. */
export const text = (data) => decoder.decode(data);

/** Bytes put together. */
export function joined(parts) {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

import { Failure, LimitExceeded } from "./errors.js";
import { bytes, call, host, joined, release, text } from "./host.js";

const most = 16 << 20;

class Headers {
  #all = new Map();

  constructor(pairs) {
    for (const [name, value] of pairs) {
      const key = name.toLowerCase();
      this.#all.set(key, this.#all.has(key) ? `${this.#all.get(key)}, ${value}` : value);
    }
  }

  get(name) {
    return this.#all.get(name.toLowerCase()) ?? null;
  }

  has(name) {
    return this.#all.has(name.toLowerCase());
  }

  entries() {
    return this.#all.entries();
  }

  [Symbol.iterator]() {
    return this.#all.entries();
  }
}

class Response {
  #inner;
  #content;
  #ended = false;

  constructor(inner) {
    this.#inner = inner;
    this.status = inner.status();
    this.headers = new Headers(inner.headers());
    this.url = inner.url();
  }

  get ok() {
    return this.status >= 200 && this.status < 300;
  }

  *chunks(size = 65536) {
    while (!this.#ended) {
      const part = call(() => this.#inner.read(size));
      if (part.length > 0) {
        yield part;
      } else {
        this.#ended = true;
        release(this.#inner);
      }
    }
  }

  async bytes() {
    if (!this.#content) {
      const parts = [];
      let size = 0;
      for (const part of this.chunks()) {
        parts.push(part);
        size += part.length;
        if (size > most) throw new LimitExceeded(`${this.url} answered with more than ${most} bytes; read them with chunks()`);
      }
      this.#content = joined(parts);
    }
    return this.#content;
  }

  async arrayBuffer() {
    return (await this.bytes()).slice().buffer;
  }

  async text() {
    return text(await this.bytes());
  }

  async json() {
    const body = await this.text();
    try {
      return JSON.parse(body);
    } catch (error) {
      throw new Failure(`${this.url} answered with something that is not JSON: ${error.message}`);
    }
  }
}

function authorizationOf(auth) {
  if (!auth) return { tag: "none" };
  const { type } = auth;
  switch (type) {
    case "basic":
    case "digest":
      return { tag: type, val: [auth.user, auth.secret] };
    case "bearer":
      return { tag: "bearer", val: auth.secret };
    case "aws-sigv4":
      return { tag: "aws-sigv4", val: [auth.service, auth.region ?? host("http").awsRegion()] };
    default:
      throw new TypeError(`auth.type is basic, digest, bearer or aws-sigv4, not ${type}`);
  }
}

/** Sends a request; see `fetch` of index.d.ts. */
export async function fetch(url, options = {}) {
  const { method = "GET", headers = {}, body, json, auth, timeout, redirect = "follow" } = options;
  if (!["follow", "manual", "error"].includes(redirect)) throw new TypeError(`redirect is follow, manual or error, not ${redirect}`);
  const pairs = (typeof headers[Symbol.iterator] === "function" ? [...headers] : Object.entries(headers)).map(([name, value]) => [
    String(name),
    String(value),
  ]);
  const content = json === undefined ? body : JSON.stringify(json);
  if (json !== undefined && !pairs.some(([name]) => name.toLowerCase() === "content-type")) {
    pairs.push(["content-type", "application/json"]);
  }
  const form = typeof content === "object" && content?.constructor?.name === "URLSearchParams";
  if (form && !pairs.some(([name]) => name.toLowerCase() === "content-type")) {
    pairs.push(["content-type", "application/x-www-form-urlencoded"]);
  }
  const response = new Response(
    call(() =>
      host("http").send({
        method: method.toUpperCase(),
        url: String(url),
        headers: pairs,
        body: content === undefined || content === null ? new Uint8Array() : bytes(form ? String(content) : content),
        authorization: authorizationOf(auth),
        maxRedirects: redirect === "follow" ? 10 : 0,
        timeoutMillis: timeout === undefined ? undefined : BigInt(Math.max(1, Math.floor(timeout))),
      }),
    ),
  );
  if (redirect === "error" && response.status >= 300 && response.status < 400) {
    throw new Failure(`${response.url} redirects to another address, which this request does not follow`);
  }
  return response;
}

export const aws = {
  endpoint: (service) => host("http").awsEndpoint(service),
  region: () => host("http").awsRegion(),
};

import { LimitExceeded, NotFound } from "./errors.js";
import { bytes, call, host, joined, release, text } from "./host.js";

const most = 16 << 20;

class Writer {
  #inner;

  constructor(inner, kept) {
    this.#inner = inner;
    this.kept = Number(kept);
  }

  write(data) {
    call(() => this.#inner.write(bytes(data)));
  }

  sha256() {
    return this.#inner.sha256();
  }

  commit() {
    call(() => this.#inner.commit());
    release(this.#inner);
  }

  discard() {
    this.#inner.discard();
    release(this.#inner);
  }
}

const on = (name, ...parameters) => call(() => host("files")[name](...parameters));

export const files = {
  readFile(path, encoding) {
    const parts = [];
    let size = 0;
    for (;;) {
      const part = on("read", path, BigInt(size), 1 << 20);
      if (part.length === 0) break;
      parts.push(part);
      size += part.length;
      if (size > most) throw new LimitExceeded(`${path} has more than ${most} bytes; read it in parts with files.read`);
    }
    const whole = joined(parts);
    return encoding ? text(whole) : whole;
  },
  read: (path, offset, length) => on("read", path, BigInt(offset), length),
  writeFile(path, data, { mode = 0o644 } = {}) {
    const writer = files.createWriter(path, { mode });
    writer.write(data);
    writer.commit();
  },
  createWriter(path, { mode = 0o644, resume } = {}) {
    return new Writer(...on("create", path, mode, resume));
  },
  appendFile: (path, data) => on("append", path, bytes(data)),
  stat(path) {
    const { kind, size, modified, mode } = on("stat", path);
    return {
      kind,
      size: Number(size),
      mtime: new Date(Number(modified)),
      mode,
      isFile: () => kind === "file",
      isDirectory: () => kind === "directory",
    };
  },
  exists(path) {
    try {
      on("stat", path);
      return true;
    } catch (error) {
      if (error instanceof NotFound) return false;
      throw error;
    }
  },
  readdir: (path) => on("listDirectory", path),
  mkdir: (path) => on("createDirectory", path),
  rm: (path, { recursive = false } = {}) => on("remove", path, recursive),
  chmod: (path, mode) => on("setMode", path, mode),
};

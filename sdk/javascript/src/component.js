// Reading component binaries, as far as a build needs it: imports and custom sections.

const header = Uint8Array.of(0, 0x61, 0x73, 0x6d, 0x0d, 0, 1, 0);

class Reader {
  constructor(data, at = 0) {
    this.data = data;
    this.at = at;
  }

  byte() {
    return this.data[this.at++];
  }

  number() {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = this.byte();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
    }
  }

  bytes() {
    const length = this.number();
    this.at += length;
    return this.data.subarray(this.at - length, this.at);
  }
}

const text = (data) => new TextDecoder().decode(data);

function leb(value) {
  const out = [];
  do {
    const low = value % 128;
    value = Math.floor(value / 128);
    out.push(value ? low + 128 : low);
  } while (value);
  return Uint8Array.from(out);
}

/** The sections of a component, as number, body and the place of each. */
function* sections(data) {
  if (!header.every((byte, at) => data[at] === byte)) throw new Error("the file is no WebAssembly component");
  const reader = new Reader(data, header.length);
  while (reader.at < data.length) {
    const start = reader.at;
    const number = reader.byte();
    const body = reader.bytes();
    yield { number, body, start, end: reader.at };
  }
}

/** The names of what a component imports, with versions. */
export function imports(data) {
  const names = [];
  for (const { number, body } of sections(data)) {
    if (number !== 10) continue;
    const reader = new Reader(body);
    for (let left = reader.number(); left > 0; left--) {
      reader.byte();
      names.push(text(reader.bytes()));
      const sort = reader.byte();
      if (sort === 0) reader.byte();
      // A type is equal to another, or any resource.
      if (sort !== 3 || reader.byte() === 0) reader.number();
    }
  }
  return names;
}

/** The content of a custom section of the component itself. */
export function customSection(data, name) {
  for (const { number, body } of sections(data)) {
    if (number !== 0) continue;
    const reader = new Reader(body);
    if (text(reader.bytes()) === name) return body.subarray(reader.at);
  }
  return undefined;
}

/** The component with one custom section of this name, in the place of all earlier ones. */
export function withCustomSection(data, name, content) {
  const parts = [header];
  for (const { number, body, start, end } of sections(data)) {
    if (number !== 0 || text(new Reader(body).bytes()) !== name) parts.push(data.subarray(start, end));
  }
  const label = new TextEncoder().encode(name);
  const length = leb(label.length);
  parts.push(Uint8Array.of(0), leb(length.length + label.length + content.length), length, label, content);
  return Buffer.concat(parts);
}

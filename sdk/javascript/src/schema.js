// Builders of JSON Schema, and values checked against JSON Schema. Only the part of it is known that inputs need.
import { InvalidInput } from "./errors.js";

const optional = Symbol("optional");

/** What `s` makes: a JSON Schema, and whether the value may be absent. */
export class Schema {
  constructor(json, isOptional = false) {
    this.json = json;
    this[optional] = isOptional;
  }

  /** The same, and the value may be absent. */
  optional() {
    return new Schema(this.json, true);
  }

  /** The same with a description. */
  describe(description) {
    return new Schema({ ...this.json, description }, this[optional]);
  }

  /** The same with a value for an absent input. */
  default(value) {
    return new Schema({ ...this.json, default: value }, true);
  }
}

const make = (type) => (keywords = {}) => new Schema({ type, ...keywords });

/** JSON of a schema, of whichever form. */
export function jsonOf(schema) {
  if (schema instanceof Schema) return schema.json;
  if (schema && typeof schema === "object" && Object.values(schema).some((one) => one instanceof Schema)) return s.object(schema).json;
  return schema;
}

export const s = {
  string: make("string"),
  integer: make("integer"),
  number: make("number"),
  boolean: make("boolean"),
  enum: (values, keywords = {}) => new Schema({ type: "string", enum: [...values], ...keywords }),
  array: (items, keywords = {}) => new Schema({ type: "array", items: jsonOf(items), ...keywords }),
  record: (values, keywords = {}) => new Schema({ type: "object", additionalProperties: jsonOf(values), ...keywords }),
  any: (keywords = {}) => new Schema({ ...keywords }),
  object(fields, keywords = {}) {
    const properties = {};
    const required = [];
    for (const [name, field] of Object.entries(fields)) {
      if (!(field instanceof Schema)) throw new TypeError(`the input ${name} is not made by s.string(), s.integer() and the like`);
      properties[name] = field.json;
      if (!field[optional]) required.push(name);
    }
    const json = { type: "object", properties, additionalProperties: false, ...keywords };
    if (required.length > 0) json.required = required;
    return new Schema(json);
  },
};

const words = {
  string: "text",
  integer: "a whole number",
  number: "a number",
  boolean: "true or false",
  array: "a list",
  object: "a mapping",
  null: "nothing",
};

const typeOf = (value) => (value === null ? "null" : Array.isArray(value) ? "array" : typeof value);

function wrong(where, wanted, value) {
  const kind = typeOf(value);
  const plain = kind === "string" || kind === "number" || kind === "boolean";
  const shown = plain && String(value).length < 60 ? `\`${value}\`` : (words[kind] ?? kind);
  return new InvalidInput(`${where} is ${wanted}, not ${shown}`, where);
}

/** A value of one type of JSON Schema; documents hand over text for most things, so "30" is good for a number. */
function scalar(type, value) {
  const kind = typeOf(value);
  if (kind === "array" || kind === "object" || kind === "null") return kind === type ? value : undefined;
  switch (type) {
    case "string":
      return String(value);
    case "boolean":
      return { true: true, false: false }[String(value).trim().toLowerCase()];
    case "integer":
    case "number": {
      if (kind === "boolean" || String(value).trim() === "") return undefined;
      const number = Number(value);
      const good = type === "integer" ? Number.isSafeInteger(number) : Number.isFinite(number);
      return good ? number : undefined;
    }
    default:
      return undefined;
  }
}

/** The value with defaults, checked; `InvalidInput` that names the key when it does not fit. */
export function check(schema, value, where = "") {
  const name = where || "the input";
  if (schema === true || schema === undefined || Object.keys(schema).length === 0) return value;
  if (schema.anyOf) {
    for (const one of schema.anyOf) {
      try {
        return check(one, value, where);
      } catch (error) {
        if (!(error instanceof InvalidInput)) throw error;
      }
    }
    throw wrong(name, schema.anyOf.map((one) => words[one.type] ?? "something else").join(" or "), value);
  }
  const types = schema.type === undefined ? [] : [schema.type].flat();
  let result = value;
  if (types.length > 0) {
    const own = typeOf(value);
    const exact = types.find((type) => type === own || (type === "integer" && own === "number" && Number.isSafeInteger(value)));
    result = exact ? value : types.map((type) => scalar(type, value)).find((one) => one !== undefined);
    if (result === undefined) throw wrong(name, types.map((type) => words[type] ?? type).join(" or "), value);
  }
  if (schema.enum) {
    const found = schema.enum.find((one) => one === result) ?? schema.enum.find((one) => String(one).toLowerCase() === String(result).toLowerCase());
    if (found === undefined) throw wrong(name, schema.enum.map((one) => `\`${one}\``).join(" or "), value);
    result = found;
  }
  limits(schema, result, name);
  if (Array.isArray(result)) return schema.items ? result.map((one, at) => check(schema.items, one, `${name}[${at}]`)) : result;
  if (result !== null && typeof result === "object") return object(schema, result, where);
  return result;
}

function limits(schema, value, name) {
  const size = typeof value === "string" || Array.isArray(value) ? value.length : undefined;
  const many = Array.isArray(value);
  const broken =
    (typeof value === "number" && value < schema.minimum && `at least ${schema.minimum}`) ||
    (typeof value === "number" && value > schema.maximum && `at most ${schema.maximum}`) ||
    (typeof value === "string" && schema.pattern && !new RegExp(schema.pattern, "u").test(value) && `of the form ${schema.pattern}`) ||
    (!many && size < schema.minLength && `of at least ${schema.minLength} characters`) ||
    (!many && size > schema.maxLength && `of at most ${schema.maxLength} characters`) ||
    (many && size < schema.minItems && `of at least ${schema.minItems} entries`) ||
    (many && size > schema.maxItems && `of at most ${schema.maxItems} entries`);
  if (broken) throw wrong(name, broken, value);
}

function object(schema, value, where) {
  const prefix = where ? `${where}.` : "";
  const properties = schema.properties ?? {};
  // Keys are read without regard to case, as SSM's own agent does.
  const known = new Map(Object.keys(properties).map((name) => [name.toLowerCase(), name]));
  const result = {};
  const set = (name, one) => Object.defineProperty(result, name, { value: one, enumerable: true, configurable: true, writable: true });
  for (const [key, one] of Object.entries(value)) {
    const name = known.get(key.toLowerCase());
    if (name !== undefined) {
      if (one !== null && one !== undefined) set(name, check(properties[name], one, `${prefix}${name}`));
    } else if (schema.additionalProperties === false) {
      const names = Object.keys(properties).map((each) => `\`${each}\``).join(", ") || "none";
      throw new InvalidInput(`there is no input \`${prefix}${key}\`; there are ${names}`, `${prefix}${key}`);
    } else {
      set(key, check(schema.additionalProperties ?? true, one, `${prefix}${key}`));
    }
  }
  for (const [name, property] of Object.entries(properties)) {
    if (!Object.hasOwn(result, name) && property?.default !== undefined) set(name, structuredCopy(property.default));
  }
  for (const name of schema.required ?? []) {
    if (!Object.hasOwn(result, name)) throw new InvalidInput(`the input \`${prefix}${name}\` is missing`, `${prefix}${name}`);
  }
  return result;
}

const structuredCopy = (value) => JSON.parse(JSON.stringify(value));

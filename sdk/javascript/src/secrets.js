import { call, host } from "./host.js";

/** The value of a secret, by name, for a program's environment or standard input. */
export class SecretRef {
  constructor(name) {
    this.name = name;
  }
}

export const secrets = {
  get: (name) => call(() => host("secrets").get(String(name))),
  ref: (name) => new SecretRef(name),
};

export const parameters = {
  get: (name) => call(() => host("parameters").get(String(name))).val,
};

export const documents = {
  get: (name) => call(() => host("control").getDocument(String(name))),
  run(name, parameters = {}, content = undefined) {
    const body = content ?? documents.get(name);
    return call(() => host("control").runDocument(String(name), body, JSON.stringify(parameters)));
  },
};

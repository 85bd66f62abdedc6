import { Cancelled } from "./errors.js";
import { bytes, host } from "./host.js";

const levels = ["trace", "debug", "info", "warn", "error"];

export const step = {
  write: (data) => host("step").write("stdout", bytes(data)),
  writeError: (data) => host("step").write("stderr", bytes(data)),
  progress(done, total, note = "") {
    const whole = (value) => BigInt(Math.max(0, Math.floor(value)));
    host("step").progress(whole(done), total === undefined ? undefined : whole(total), String(note));
  },
  log(level, message, fields) {
    if (!levels.includes(level)) {
      throw new TypeError(`\`${level}\` is no log level; there are ${levels.join(", ")}`);
    }
    host("step").log(level, String(message), fields === undefined ? undefined : JSON.stringify(fields));
  },
  cancelled: () => host("step").cancelled(),
  checkCancelled() {
    if (step.cancelled()) throw new Cancelled("the operator asked the step to stop");
  },
};

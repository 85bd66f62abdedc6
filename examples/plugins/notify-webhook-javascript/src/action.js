// Tells a chat or a ticket system what happened, by a webhook. While the other side is down, nothing waits in memory: the
// action is suspended and tries again later.
import { Failure, HostError, TimedOut, defineAction, done, fetch, s, secrets, step, suspend } from "capstan-sdk";

const wait = (tries) => Math.min(1000 * 2 ** tries, 60_000);

async function send(context, message) {
  const { url, text, severity, tokenSecret, tries, triesLeft } = message;
  const headers = { "user-agent": "capstan" };
  // A placeholder: the host puts the value in its place, and only on the way to hosts that the secret is granted for. It is
  // good for this call alone, so it is asked for anew after each wait.
  if (tokenSecret) headers.authorization = `Bearer ${secrets.get(tokenSecret)}`;
  let problem;
  try {
    const json = { text, severity, node: context.nodeId, document: context.document, run: context.runId };
    const response = await fetch(url, { method: "POST", headers, json, timeout: 10_000 });
    if (response.ok) {
      step.log("info", "told", { status: response.status, tries: tries + 1 });
      return done({ status: response.status, tries: tries + 1 });
    }
    problem = `status ${response.status}`;
    // It understood, and does not want it: to ask again helps nobody.
    if (response.status < 500 && response.status !== 429) {
      throw new Failure(`${url} refused the message with ${problem}; check the address and the token`, { status: response.status });
    }
  } catch (error) {
    // The network may come back. A denial, and whatever else, will not go away by itself.
    if (!(error instanceof HostError || error instanceof TimedOut)) throw error;
    problem = error.message;
  }
  if (triesLeft <= 1) throw new Failure(`${url} could not be told: ${problem}, ${tries + 1} times`);
  step.log("warn", "not told yet", { problem, triesLeft: triesLeft - 1 });
  return suspend({ ...message, tries: tries + 1, triesLeft: triesLeft - 1 }, { after: wait(tries), reason: `tries again after ${problem}` });
}

export default defineAction({
  name: "acme:notifyWebhook",
  version: "0.1.0",
  description: "Sends a message to a webhook, and tries again while it does not answer.",
  inputs: {
    url: s.string({ description: "The address of the webhook.", pattern: "^https?://" }),
    text: s.string({ description: "What to tell.", minLength: 1, maxLength: 4000 }),
    severity: s.enum(["info", "warning", "critical"], { description: "How bad it is." }).default("info"),
    tokenSecret: s.string({ description: "The name of a secret that is sent as bearer token." }).optional(),
    attempts: s.integer({ description: "How often to try.", minimum: 1, maximum: 20 }).default(5),
  },
  capabilities: {
    hosts: [{ url: "${inputs.url}", methods: ["POST"], reason: "sends the message" }],
    secrets: [{ name: "${inputs.tokenSecret}", uses: ["header"], hosts: ["${inputs.url}"], reason: "signs in at the webhook", optional: true }],
  },
  run(context, { attempts, ...message }) {
    return send(context, { ...message, tries: 0, triesLeft: attempts });
  },
  resume(context, message) {
    return send(context, message);
  },
});

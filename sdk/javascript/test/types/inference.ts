// Compiles when types follow from schemas as they should.
import { defineAction, defineCollector, s, suspend, type Infer } from "capstan-sdk";

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const same = <A, B>(_: Same<A, B>) => {};

const inputs = {
  folder: s.string({ description: "Where" }),
  keep: s.integer({ minimum: 1 }).default(7),
  mode: s.enum(["copy", "move"]),
  tags: s.record(s.string()).optional(),
  list: s.array(s.object({ name: s.string(), size: s.number().optional() })),
};

same<
  Infer<typeof inputs>,
  {
    folder: string;
    keep: number;
    mode: "copy" | "move";
    list: { name: string; size?: number | undefined }[];
    tags?: Record<string, string> | undefined;
  }
>(true);

defineAction({
  name: "acme:a",
  version: "1.0.0",
  description: "A.",
  inputs,
  capabilities: { files: [{ path: "${inputs.folder}", access: "read-write", reason: "moves files" }] },
  run(context, given) {
    same<typeof given.mode, "copy" | "move">(true);
    same<typeof given.keep, number>(true);
    context.deadline.getTime();
    // @ts-expect-error there is no such input
    given.nothing;
    return suspend({ tries: 1 }, { reason: "a while", after: 1000 });
  },
  async resume(_context, state: { tries: number }, event) {
    if (event.kind === "signal") return { by: event.name };
    return { tries: state.tries };
  },
});

defineAction({ name: "acme:b", version: "1.0.0", description: "B.", run: () => {} });

defineAction({
  name: "acme:c",
  version: "1.0.0",
  description: "C.",
  inputs: { type: "object", properties: { a: { type: "string" } } },
  run: (_context, given) => ({ a: given["a"] }),
});

defineCollector({
  name: "acme:d",
  version: "1.0.0",
  description: "D.",
  settings: { folder: s.string() },
  collect: (_context, settings) => ({ typeName: "Custom:D", content: [{ folder: settings.folder, size: 3 }] }),
});

// @ts-expect-error a capability needs a reason
defineAction({ name: "acme:e", version: "1.0.0", description: "E.", capabilities: { hosts: [{ url: "*" }] }, run() {} });

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { type Argv, type RunOptions, run } from "#base/run.ts";
import { OUTGOING_RULES, OUTGOING_TABLE } from "../roles/box/containment.ts";
import { CLIENTS_TABLE, memcachedClients } from "../roles/cache/clients.ts";
import { nftTable } from "./nft-table.ts";

/** A network of its own, whose rules are changed here; only nft is asked there. */
const SPACE = vi.hoisted(() => `by-rules-${process.pid}`);
/** How often a process was started for the resource. */
const starts = vi.hoisted(() => ({ count: 0 }));
vi.mock("#base/run.ts", async (original) => {
  const real = await original<typeof import("#base/run.ts")>();
  return {
    ...real,
    run: async (argv: Argv, options?: RunOptions) => {
      starts.count += 1;
      return real.run(argv[0] === "nft" ? ["ip", "netns", "exec", SPACE, ...argv] : argv, options);
    },
  };
});

const signal = new AbortController().signal;
/** A file with one rule. */
const rulesOf = (rule: string): string => `table inet trial
delete table inet trial
table inet trial {
  chain input {
    type filter hook input priority 0; policy accept;
    ${rule}
  }
}
`;

let folder: string;
let file: string;
beforeAll(async () => void (await run(["ip", "netns", "add", SPACE])));
afterAll(async () => void (await run(["ip", "netns", "delete", SPACE])));
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "boxyard-nft-"));
  file = join(folder, "rules.nft");
  await writeFile(file, rulesOf("tcp dport 11211 reject"));
});
afterEach(async () => {
  await nft("flush", "ruleset");
  await rm(folder, { recursive: true, force: true });
});

/** As an agent that has just begun has it. */
const resource = (table = "trial") => nftTable({ table, file, records: join(folder, "activated") });
const nft = async (...args: string[]): Promise<string> => (await run(["nft", ...args])).stdout;

describe("a table of rules", () => {
  test("is loaded when it is not there, and then is well, also for the next agent", async () => {
    expect(await resource().mismatch(signal)).toBe("is not loaded");
    await resource().apply(signal);
    expect(await nft("list", "ruleset")).toContain("tcp dport 11211 reject");
    expect(await resource().mismatch(signal)).toBeNull();
  });

  test.each([
    ["all rules are flushed", ["flush", "ruleset"], "is not loaded"],
    ["its rules are flushed", ["flush", "table", "inet", "trial"], "has not the rules of"],
    ["a rule is put before its own", ["insert", "rule", "inet", "trial", "input", "accept"], "has not the rules of"],
    ["the policy of its chain is changed", ["chain", "inet", "trial", "input", "{ policy drop; }"], "has not the rules of"],
  ])("is loaded again when %s by hand", async (_, command, reason) => {
    await resource().apply(signal);
    const loaded = await nft("list", "table", "inet", "trial");
    await nft(...command);
    expect(await resource().mismatch(signal)).toContain(reason);
    await resource().apply(signal);
    expect(await nft("list", "table", "inet", "trial")).toBe(loaded);
    expect(await resource().mismatch(signal)).toBeNull();
  });

  test("is loaded again when its file has changed, in the place of what was there; another table stays", async () => {
    await nft("add", "table", "inet", "other");
    await resource().apply(signal);
    await writeFile(file, rulesOf("tcp dport 6379 reject"));
    expect(await resource().mismatch(signal)).toBe(`has not the rules of ${file}`);
    await resource().apply(signal);
    expect(await nft("list", "ruleset")).toMatch(/6379/);
    expect(await nft("list", "ruleset")).not.toMatch(/11211/);
    expect(await nft("list", "tables")).toContain("table inet other");
    expect(await resource().mismatch(signal)).toBeNull();
  });

  test("that nft refuses leaves the former rules where they are, and is not well", async () => {
    await resource().apply(signal);
    await writeFile(file, rulesOf("tcp dport nonsense reject"));
    await expect(resource().apply(signal)).rejects.toMatchObject({ code: "run.failed" });
    expect(await nft("list", "ruleset")).toContain("tcp dport 11211 reject");
    expect(await resource().mismatch(signal)).toBe(`has not the rules of ${file}`);
  });

  test("whose file is not there yet is not well, and no fault", async () => {
    await rm(file);
    expect(await resource().mismatch(signal)).toBe("is not loaded");
    await expect(resource().apply(signal)).rejects.toMatchObject({ code: "run.failed" });
  });

  test("that is well costs one process to look at", async () => {
    await resource().apply(signal);
    starts.count = 0;
    expect(await resource().mismatch(signal)).toBeNull();
    expect(starts.count).toBe(1);
  });
});

test.each([
  ["memcached's clients", CLIENTS_TABLE.table, memcachedClients(["10.77.0.15", "10.77.0.14"])],
  ["Apache's own connections", OUTGOING_TABLE.table, OUTGOING_RULES],
])("the rules for %s are loaded over themselves without a trace, and stand in the table that is looked for", async (_, table, rules) => {
  await writeFile(file, rules);
  await resource(table).apply(signal);
  const loaded = await nft("list", "ruleset");
  await resource(table).apply(signal);
  expect(await nft("list", "ruleset")).toBe(loaded);
  expect(await resource(table).mismatch(signal)).toBeNull();
  await nft("flush", "ruleset");
  expect(await resource(table).mismatch(signal)).toBe("is not loaded");
});

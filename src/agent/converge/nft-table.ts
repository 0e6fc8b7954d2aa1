import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { writeFileAtomic } from "#base/atomic-file.ts";
import { run } from "#base/run.ts";
import { RECORDS } from "./configuration.ts";
import type { Resource } from "./resource.ts";

export interface NftTableWant {
  /** Of family inet. */
  readonly table: string;
  /** Rules of nft(8) for this table and no other, which begin with its deletion: loaded again, they take the place of what is there. */
  readonly file: string;
  /** Where the record of what was loaded stands; the server's own by default. */
  readonly records?: string;
}

/**
 * A table of nft(8) that is loaded, with its file's rules and no others, whatever is flushed or changed by hand. nft prints rules
 * in words of its own, so that they cannot be compared with the file; what it prints right after it has read the file is
 * remembered, as a hash, so that a check costs one process. A table must have no counters, and no sets that fill by themselves.
 */
export function nftTable({ table, file, records = RECORDS }: NftTableWant): Resource {
  const record = join(records, `nft-table-${table}`);
  const list = async (): Promise<string | null> => {
    const { exitCode, stdout } = await run(["nft", "list", "table", "inet", table], { acceptExitCodes: [0, NO_TABLE] });
    return exitCode === 0 ? stdout : null;
  };
  return {
    id: `nft table ${table}`,
    mismatch: async () => {
      const [listed, loaded] = await Promise.all([list(), readFile(record, "utf8").catch(() => null)]);
      if (listed === null) return "is not loaded";
      return loaded === (await hashOf(file, listed)) ? null : `has not the rules of ${file}`;
    },
    apply: async () => {
      await run(["nft", "-f", file]);
      await writeFileAtomic(record, await hashOf(file, await list()));
    },
  };
}

/** The file belongs to it: rules that have changed there are not those that were loaded. */
async function hashOf(file: string, listed: string | null): Promise<string> {
  const rules = await readFile(file, "utf8").catch(() => null);
  return createHash("sha256")
    .update(JSON.stringify([rules, listed]))
    .digest("hex");
}

/** What `nft list` exits with when there is no such table, as with any other trouble of its. */
const NO_TABLE = 1;

import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { run } from "#base/run.ts";
import type { Resource } from "../../converge/resource.ts";
import type { RunSql } from "./sql.ts";

const ZONES = "/usr/share/zoneinfo";

/** MariaDB knows the system's time zones by name; loaded again when an update of Debian's tzdata has changed them. */
export function timeZones(runSql: RunSql, zones = ZONES): Resource {
  return {
    id: "time zones",
    mismatch: async () => {
      const [[loaded = ""] = []] = await runSql(READ_MARK);
      if (loaded === (await markOf(zones))) return null;
      return loaded.startsWith(MARK) ? "are not those of the installed tzdata" : "are not loaded";
    },
    apply: async () => {
      const mark = await markOf(zones);
      const { stdout } = await run(["mariadb-tzinfo-to-sql", zones]);
      await runSql(`USE mysql;\n${stdout}\nALTER TABLE time_zone_name COMMENT = '${mark}';\n`);
    },
  };
}

const MARK = "boxyard: tzdata";

/** The mark stands with the tables, so that a new data directory has neither. */
const READ_MARK = "SELECT table_comment FROM information_schema.tables WHERE table_schema = 'mysql' AND table_name = 'time_zone_name'";

/** Changes with the zones: this file has the rules of all of them. */
async function markOf(zones: string): Promise<string> {
  const hash = createHash("sha256").update(await readFile(`${zones}/tzdata.zi`));
  return `${MARK} ${hash.digest("hex").slice(0, 12)}`;
}

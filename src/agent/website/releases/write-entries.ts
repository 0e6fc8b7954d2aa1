import { linkVerdict } from "#contract/tree-link.ts";
import type { ListedEntry } from "./listing.ts";
import { collect, type ObjectReader } from "./object-reader.ts";
import type { TreeWriter } from "./tree-writer.ts";

/** Writes files and links of a commit; links that lead out of it are left out. Gives how many it wrote. */
export async function writeEntries(writer: TreeWriter, entries: readonly ListedEntry[], objects: ObjectReader): Promise<number> {
  let written = 0;
  objects.ask(entries.map((entry) => entry.object));
  for (const { mode, path } of entries) {
    const blob = await objects.next();
    if (mode !== "120000") {
      await writer.writeFile(path, { isExecutable: (Number.parseInt(mode, 8) & 0o100) !== 0, blob });
    } else {
      const target = (await collect(blob)).toString("utf8");
      if (linkVerdict(path, target) === "outside") continue;
      await writer.writeLink(path, target);
    }
    written += 1;
  }
  return written;
}

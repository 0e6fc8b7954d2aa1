import { appendFile, mkdir, readFile, rename, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { writeFileAtomic } from "#base/atomic-file.ts";

/** Twice as much is kept at most: the older half goes when the newer one is full. */
const HALF_BYTES = 2 * 1024 * 1024;

/** What came between two looks at a hook, and where the next look goes on. */
interface Heard {
  readonly after: string | null;
  readonly lines: readonly string[];
  readonly cursor: string | null;
}

/**
 * Keeps what a hook says in a file of its own: the journal is everybody's, and whoever says much pushes others out of it.
 * What was kept already, because somebody asked twice, is not kept again.
 */
export async function keepOutput(path: string, { after, lines, cursor }: Heard): Promise<void> {
  const mark = `${path}.until`;
  if (lines.length === 0 || ((await readFile(mark, "utf8").catch(() => "")) || null) !== after) return;
  await mkdir(dirname(path), { recursive: true });
  const size = await stat(path).then(
    (found) => found.size,
    () => 0,
  );
  if (size > HALF_BYTES) await rename(path, `${path}.earlier`);
  await appendFile(path, lines.map((line) => `${line}\n`).join(""), { mode: 0o600 });
  await writeFileAtomic(mark, cursor ?? "");
}

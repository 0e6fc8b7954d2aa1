import { type FileHandle, open, stat } from "node:fs/promises";

/** At most this much of a log is looked at for one answer. */
const WINDOW_BYTES = 1 << 20;

export interface LogQuestion {
  readonly path: string;
  readonly lines: number;
  /** Cursor of an earlier answer: go on from there. */
  readonly after: string | null;
}

export interface LogAnswer {
  readonly lines: string[];
  /** File and place in it up to which lines were given. */
  readonly cursor: string;
}

/**
 * The last lines of a log, or, with a cursor, the next ones after it. Of a log that was rotated since the rest comes first,
 * from where it is now, then the new one from its beginning. Until that one says something the rest is read on: the web server writes
 * there until it has been reloaded.
 */
export async function readLogFile(question: LogQuestion): Promise<LogAnswer> {
  const rest = await readRest(question);
  if (rest !== null && rest.lines.length > 0) return rest;
  const current = await readCurrent(question);
  return rest !== null && current.lines.length === 0 ? rest : current;
}

/** What was written into the log before it was rotated and after the cursor; null when it was not. */
async function readRest({ path, lines, after }: LogQuestion): Promise<LogAnswer | null> {
  const rotated = `${path}.1`;
  const ino = await stat(rotated).then(
    (found) => found.ino,
    () => null,
  );
  if (ino === null || after?.startsWith(`${ino}:`) !== true) return null;
  return readCurrent({ path: rotated, lines, after });
}

async function readCurrent({ path, lines, after }: LogQuestion): Promise<LogAnswer> {
  const log = await open(path, "r").catch(() => null);
  if (log === null) return { lines: [], cursor: "0:0" };
  try {
    const { size, ino } = await log.stat();
    const from = startOf(after, { ino, size });
    const text = await readWindow(log, from ?? Math.max(0, size - WINDOW_BYTES));
    const isCutAtStart = from === null && size > WINDOW_BYTES;
    const whole = wholeLines(text, isCutAtStart);
    const given = from === null ? whole.slice(-lines) : whole.slice(0, lines);
    const end = from === null ? size - partialBytes(text) : from + bytesOf(given);
    return { lines: given, cursor: `${ino}:${end}` };
  } finally {
    await log.close();
  }
}

/** Where to go on; null for "the last lines". */
function startOf(after: string | null, { ino, size }: { ino: number; size: number }): number | null {
  if (after === null) return null;
  const [, file, place] = /^(\d+):(\d+)$/.exec(after) ?? [];
  return Number(file) === ino && Number(place) <= size ? Number(place) : 0;
}

async function readWindow(log: FileHandle, position: number): Promise<Buffer> {
  const { buffer, bytesRead } = await log.read(Buffer.alloc(WINDOW_BYTES), 0, WINDOW_BYTES, position);
  return buffer.subarray(0, bytesRead);
}

/** Lines that have their end; what is being written has not. */
function wholeLines(text: Buffer, isCutAtStart: boolean): string[] {
  const lines = text
    .subarray(0, text.length - partialBytes(text))
    .toString("utf8")
    .split("\n")
    .slice(0, -1);
  return isCutAtStart ? lines.slice(1) : lines;
}

function partialBytes(text: Buffer): number {
  return text.length - (text.lastIndexOf(10) + 1);
}

function bytesOf(lines: readonly string[]): number {
  return lines.reduce((sum, line) => sum + Buffer.byteLength(line) + 1, 0);
}

import { createHash, randomBytes } from "node:crypto";
import { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { Pool } from "undici";
import { nowMicros } from "#base/clock.ts";
import { readInServer } from "./servers.ts";
import { edgeOfYard, senderOf } from "./visitor.ts";
import { eventually } from "./yard.ts";

/**
 * How a visitor sends something: a form, a file in pieces, one of which the second half comes after some seconds, or what the
 * website works on for half a minute.
 */
export type WriteKind = "form" | "upload" | "pausing-upload" | "slow";

export const WRITE_KINDS: readonly WriteKind[] = ["form", "upload", "pausing-upload", "slow"];

/** What became of one POST, as the visitor met it. */
export interface Write {
  readonly id: string;
  readonly kind: WriteKind;
  /** Microseconds since 1970. */
  readonly startedAt: number;
  readonly endedAt: number;
  /** Why there was no whole answer; null when there was one. */
  readonly fault: string | null;
  readonly sentHash: string;
  /** What the website says that it took. */
  readonly tookHash: string | null;
}

/** What the website has written down: each time that it took something, with what arrived. */
export interface Taken {
  readonly id: string;
  readonly hash: string;
}

const SLOW_SECONDS = 30;
const UPLOAD_PIECES = 4;
const UPLOAD_PIECE_BYTES = 65_536;
/** A visitor waits as long as a browser would. */
const ANSWER_MS = 90_000;
const PAUSE_MS: Record<WriteKind, number> = { form: 50, upload: 200, "pausing-upload": 200, slow: 100 };
/** Between the pieces of a file. */
const PIECE_PAUSE_MS = 150;
/** In the middle of a file that pauses: longer than Varnish waits by default. */
const LONG_PAUSE_MS = 6_000;

/** The shared folder in which the website writes down what it took; releases with `TAKE_FILES` declare it in their Boxfile. */
export const TAKE_FOLDER = "docroot/taken";

const NOT_WRITTEN = "not written down";

/** A page that takes POSTs: it writes down what arrived, or says why it cannot, works for the given time, and ends its answer with a word. */
export const TAKE_FILES = {
  "docroot/take.php": `<?php header('Cache-Control: no-store');
$hash = sha1(file_get_contents('php://input'));
$line = $_GET['id'] . ' ' . $hash . "\\n";
if (@file_put_contents(__DIR__ . '/taken/log', $line, FILE_APPEND | LOCK_EX) !== strlen($line)) {
  http_response_code(500);
  exit('${NOT_WRITTEN}: ' . (error_get_last()['message'] ?? 'no reason'));
}
sleep((int) $_GET['seconds']);
echo $hash, ' whole';
`,
} as const;

/** Visitors who send all the time, each kind by one of them, and remember what became of it. */
export class Writers {
  readonly #pool: Pool;
  readonly #domain: string;
  readonly #stopping = new AbortController();
  readonly #writing: Promise<unknown>;
  #writes: Write[] = [];

  static async start(domain: string, kinds: readonly WriteKind[] = WRITE_KINDS): Promise<Writers> {
    const { address, ca } = await edgeOfYard();
    const connect = { servername: domain, ca };
    const pool = new Pool(`https://${address}`, { connections: kinds.length, connect, headersTimeout: ANSWER_MS, bodyTimeout: ANSWER_MS });
    return new Writers(pool, { domain, kinds });
  }

  private constructor(pool: Pool, { domain, kinds }: { readonly domain: string; readonly kinds: readonly WriteKind[] }) {
    this.#pool = pool;
    this.#domain = domain;
    this.#writing = Promise.all(kinds.map((kind) => this.#keepWriting(kind)));
  }

  /** What ended since the last call. */
  take(): readonly Write[] {
    const taken = this.#writes;
    this.#writes = [];
    return taken;
  }

  /** Begins nothing more; resolves when all that was begun has ended. May be called twice. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#writing;
    if (!this.#pool.closed) await this.#pool.close();
  }

  async #keepWriting(kind: WriteKind): Promise<void> {
    while (!this.#stopping.signal.aborted) {
      this.#writes.push(await this.#write(kind));
      await sleep(PAUSE_MS[kind]);
    }
  }

  async #write(kind: WriteKind): Promise<Write> {
    const pieces = Array.from({ length: isUpload(kind) ? UPLOAD_PIECES : 1 }, () => randomBytes(isUpload(kind) ? UPLOAD_PIECE_BYTES : 100));
    const id = randomBytes(8).toString("hex");
    const started = { id, kind, startedAt: nowMicros(), sentHash: createHash("sha1").update(Buffer.concat(pieces)).digest("hex") };
    try {
      const tookHash = await this.#send(id, kind, pieces);
      return { ...started, endedAt: nowMicros(), fault: null, tookHash };
    } catch (thrown) {
      return { ...started, endedAt: nowMicros(), fault: String(thrown), tookHash: null };
    }
  }

  async #send(id: string, kind: WriteKind, pieces: readonly Buffer[]): Promise<string> {
    const path = `/take.php?id=${id}&seconds=${kind === "slow" ? SLOW_SECONDS : 0}`;
    const length = pieces.reduce((total, piece) => total + piece.length, 0);
    const headers = { host: this.#domain, "content-type": "application/octet-stream", "content-length": String(length) };
    const sent = await this.#pool.request({ method: "POST", path, headers, body: Readable.from(inPieces(pieces, kind)) });
    const text = await sent.body.text();
    if (sent.statusCode !== 200) throw new Error(`status ${sent.statusCode} by ${senderOf(sent.headers)}: ${text.slice(0, 300)}`);
    const [hash = "", end] = text.split(" ");
    if (end !== "whole") throw new Error(`status 200, but the answer is cut: ${JSON.stringify(text.slice(0, 80))}`);
    return hash;
  }
}

function isUpload(kind: WriteKind): boolean {
  return kind === "upload" || kind === "pausing-upload";
}

async function* inPieces(pieces: readonly Buffer[], kind: WriteKind): AsyncGenerator<Buffer> {
  for (const [nth, piece] of pieces.entries()) {
    if (nth > 0) await sleep(kind === "pausing-upload" && nth === pieces.length / 2 ? LONG_PAUSE_MS : PIECE_PAUSE_MS);
    yield piece;
  }
}

/** Reads what the website has written down, on one of its boxes: the folder is shared. */
async function readTaken(box: string, website: string): Promise<Taken[]> {
  // The cloud's client may end before all has come: what is whole ends with a word.
  const command = `cat /srv/sites/${website}/current/${TAKE_FOLDER}/log 2>/dev/null; echo whole`;
  const said = await eventually(`what ${website} has taken`, async () => {
    const text = await readInServer(box, "sh", "-c", command);
    return text.endsWith("whole") && text;
  });
  return said.split("\n").flatMap((line) => {
    const [id, hash] = line.split(" ");
    return id === undefined || hash === undefined ? [] : [{ id, hash }];
  });
}

/** The same as `findDoubles`, of what the website has written down; what is found is looked for once more, as reading may fail, too. */
export async function findDoublesOn(box: string, website: string, writes: readonly Write[]): Promise<string[]> {
  const found = findDoubles(writes, await readTaken(box, website));
  if (found.length === 0) return [];
  await sleep(1_000);
  const again = findDoubles(writes, await readTaken(box, website));
  return found.map((one) => `${one} (${again.includes(one) ? "also" : "not"} when read again)`);
}

/**
 * What must not become of a POST, be there faults or not: to be carried out twice, to arrive in part, or to be answered
 * as done and not be. An error is allowed; empty when all is well. An upload that broke off is the exception: Apache hands
 * on what has come, and PHP runs with that (docs/guide/box.md).
 */
export function findDoubles(writes: readonly Write[], taken: readonly Taken[]): string[] {
  const byId = Map.groupBy(taken, ({ id }) => id);
  return writes.flatMap(({ id, kind, startedAt, endedAt, fault, sentHash, tookHash }) => {
    const times = byId.get(id) ?? [];
    const at = `${new Date(startedAt / 1000).toISOString()} ${kind} ${id} (${Math.round((endedAt - startedAt) / 1000)} ms, ${fault ?? "answered"})`;
    return [
      ...(times.length > 1 ? [`${at} was carried out ${times.length} times`] : []),
      ...(fault === null && times.length === 0 ? [`${at} was answered, and not carried out`] : []),
      ...(times.some(({ hash }) => hash !== sentHash) && !(isUpload(kind) && fault !== null) ? [`${at} arrived in part`] : []),
      ...(tookHash !== null && tookHash !== sentHash ? [`${at} has another one's answer`] : []),
      ...(fault?.includes(NOT_WRITTEN) ? [`${at} could not be written down`] : []),
      ...(fault?.includes("the answer is cut") ? [`${at} was cut, and the visitor cannot know it`] : []),
    ];
  });
}

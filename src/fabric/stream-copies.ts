import { createReadStream } from "node:fs";
import { open, readFile } from "node:fs/promises";
import type { Msg, NatsConnection } from "@nats-io/transport-node";
import { createInbox } from "@nats-io/transport-node";
import { writeFileAtomic } from "#base/atomic-file.ts";
import { Fault } from "#base/fault.ts";

/** Requests of the broker's own protocol for backup and restore of a stream with its consumers (NATS ADR-9), which the library has not. */
const API = "$JS.API";
const CHUNK_BYTES = 128 * 1024;
const ANSWER_MS = 30_000;

interface StreamCopy {
  readonly config: { readonly name: string };
  readonly state: { readonly last_seq: number };
}

interface StreamAnswer {
  readonly error?: { readonly description?: string };
  readonly config?: StreamCopy["config"];
  readonly state?: StreamCopy["state"];
  readonly deliver_subject?: string;
  readonly streams?: readonly string[];
}

/** Names of all streams; of buckets too, which are streams. */
export async function listStreams(connection: NatsConnection, timeoutMs: number): Promise<string[]> {
  return [...((await ask(connection, "STREAM.NAMES", {}, timeoutMs)).streams ?? [])].sort();
}

/** Copies a stream, with its messages and consumers, into files at `path`; nobody may write to it meanwhile. */
export async function saveStream(connection: NatsConnection, stream: string, path: string): Promise<void> {
  const file = await open(`${path}.data`, "w", 0o600);
  const inbox = createInbox();
  const chunks = connection.subscribe(inbox, { timeout: ANSWER_MS });
  try {
    const { config, state } = await ask(connection, `STREAM.SNAPSHOT.${stream}`, { deliver_subject: inbox, chunk_size: CHUNK_BYTES });
    for await (const chunk of chunks) {
      if (chunk.data.length === 0) break;
      await file.write(chunk.data);
      chunk.respond();
    }
    await file.sync();
    await writeFileAtomic(`${path}.json`, JSON.stringify({ config, state }), { mode: 0o600 });
  } finally {
    chunks.unsubscribe();
    await file.close();
  }
}

/** Makes a stream of such a copy, with another number of replicas; one that has all of the copy already stays as it is. */
export async function restoreStream(connection: NatsConnection, path: string, { replicas }: { readonly replicas: number }): Promise<void> {
  const { config, state } = JSON.parse(await readFile(`${path}.json`, "utf8")) as StreamCopy;
  const known = await ask(connection, `STREAM.INFO.${config.name}`, {}).catch(() => null);
  if (known !== null && (known.state?.last_seq ?? 0) >= state.last_seq) return;
  // An earlier attempt that was broken off.
  if (known !== null) await ask(connection, `STREAM.DELETE.${config.name}`, {});
  const begun = await ask(connection, `STREAM.RESTORE.${config.name}`, { config: { ...config, num_replicas: replicas }, state });
  const subject = begun.deliver_subject ?? "";
  for await (const chunk of createReadStream(`${path}.data`, { highWaterMark: CHUNK_BYTES }))
    check(await connection.request(subject, chunk as Uint8Array, { timeout: ANSWER_MS }));
  check(await connection.request(subject, undefined, { timeout: ANSWER_MS }));
}

async function ask(connection: NatsConnection, what: string, body: object, timeoutMs = ANSWER_MS): Promise<StreamAnswer> {
  return check(await connection.request(`${API}.${what}`, JSON.stringify(body), { timeout: timeoutMs }));
}

function check(message: Msg): StreamAnswer {
  const answer = message.data.length === 0 ? {} : (message.json() as StreamAnswer);
  if (answer.error === undefined) return answer;
  throw new Fault("fabric.stream-not-copied", `the broker does not copy a stream: ${answer.error.description}`);
}

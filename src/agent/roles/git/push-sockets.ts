import { chmod, chown, lstat, rm } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { z } from "zod";
import { CommitId, type WebsiteId } from "#contract/names.ts";
import type { Resource } from "../../converge/resource.ts";
import type { RefRequest } from "./push-desk.ts";
import type { Verdict } from "./push-story.ts";

/** What the hook says: one line, then it listens. */
const HookRequest = z.object({ ref: z.string().max(1_000), old: CommitId, new: CommitId });

type Take = (website: WebsiteId, request: RefRequest, say: (line: string) => void) => Promise<Verdict>;

const REQUEST_LIMIT = 4_096;
const REQUEST_TIMEOUT_MS = 10_000;
const PUSHERS_LIMIT = 16;

/** One Unix socket per website, open to its own account only: which socket a hook reaches says which website it speaks for. */
export class PushSockets {
  readonly #directory: string;
  readonly #take: Take;
  readonly #servers = new Map<WebsiteId, Server>();

  constructor(directory: string, take: Take) {
    this.#directory = directory;
    this.#take = take;
  }

  pathOf(website: WebsiteId): string {
    return join(this.#directory, `${website}.sock`);
  }

  /** The website's socket is there and answers. */
  socket(website: WebsiteId, uid: number): Resource {
    const path = this.pathOf(website);
    return {
      id: `push socket ${path}`,
      mismatch: async () => {
        if (!this.#servers.has(website)) return "is not open";
        const have = await lstat(path).catch(() => null);
        if (have === null || !have.isSocket()) return "is missing";
        return have.uid === uid && (have.mode & 0o777) === 0o600 ? null : "is not the website's own";
      },
      apply: async () => {
        await this.#close(website);
        await this.#open(website, uid);
      },
    };
  }

  /** No socket of any other website. */
  noOthers(websites: ReadonlySet<WebsiteId>): Resource {
    const others = (): WebsiteId[] => [...this.#servers.keys()].filter((website) => !websites.has(website));
    return {
      id: "no other push sockets",
      mismatch: async () => (others().length === 0 ? null : `${others().join(", ")} should not be open`),
      apply: async () => {
        for (const website of others()) await this.#close(website);
      },
    };
  }

  async stop(): Promise<void> {
    for (const website of [...this.#servers.keys()]) await this.#close(website);
  }

  async #open(website: WebsiteId, uid: number): Promise<void> {
    const path = this.pathOf(website);
    await rm(path, { force: true });
    const server = createServer((socket) => void this.#serve(website, socket));
    server.maxConnections = PUSHERS_LIMIT;
    await new Promise<void>((resolve, reject) => server.once("error", reject).listen(path, resolve));
    await chmod(path, 0o600);
    await chown(path, uid, uid);
    this.#servers.set(website, server);
  }

  async #close(website: WebsiteId): Promise<void> {
    this.#servers.get(website)?.close();
    this.#servers.delete(website);
    await rm(this.pathOf(website), { force: true });
  }

  async #serve(website: WebsiteId, socket: Socket): Promise<void> {
    // A pusher may go at any moment; the push does not need it.
    socket.on("error", () => undefined);
    const send = (message: unknown): void => void (socket.writable && socket.write(`${JSON.stringify(message)}\n`));
    const request = await readRequest(socket);
    if (request === null) return void socket.destroy();
    const verdict = await this.#take(website, request, (line) => send({ line }));
    send(verdict.isOk ? { verdict: "ok" } : { verdict: "ng", reason: verdict.reason });
    socket.end();
  }
}

/** The first line, when it is a request and comes in time; the connection stays open. */
async function readRequest(socket: Socket): Promise<RefRequest | null> {
  const line = await new Promise<string>((resolve) => {
    let text = "";
    const giveUp = setTimeout(() => resolve(""), REQUEST_TIMEOUT_MS);
    const end = (said: string): void => {
      clearTimeout(giveUp);
      resolve(said);
    };
    socket.setEncoding("utf8").on("close", () => end(""));
    socket.on("data", (chunk) => {
      if (text.length <= REQUEST_LIMIT) text += chunk;
      if (text.includes("\n") || text.length > REQUEST_LIMIT) end(text.split("\n")[0] ?? "");
    });
  });
  return HookRequest.safeParse(parseJson(line)).data ?? null;
}

function parseJson(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return null;
  }
}

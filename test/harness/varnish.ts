import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { type IncomingMessage, type OutgoingHttpHeaders, request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { VARNISH_PARAMETERS } from "#agent/roles/cache/role.ts";
import { until } from "#base/retry.ts";

/** Headers as they are sent, a name several times when it has several values. */
export type Headers = OutgoingHttpHeaders;

export interface CacheReply {
  readonly status: number;
  readonly cache: string | undefined;
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
}

interface CacheRequest {
  /** The address that the request comes from. */
  readonly from: string;
  readonly cache: string;
  readonly path: string;
  readonly method?: string;
  readonly headers?: Headers;
}

/** A request as `from` sends it to a cache. */
export async function askCache({ from, cache, path, method = "GET", headers = {} }: CacheRequest): Promise<CacheReply> {
  const outgoing = request({ host: cache, port: 80, localAddress: from, path, method, headers: { host: "a.example", ...headers } });
  outgoing.end();
  const [incoming] = (await once(outgoing, "response")) as [IncomingMessage];
  const chunks = await incoming.toArray();
  const xCache = incoming.headers["x-cache"];
  return { status: incoming.statusCode ?? 0, cache: xCache?.toString(), headers: incoming.headers, body: Buffer.concat(chunks).toString() };
}

/** Varnishes on addresses of their own, started as the cache role starts one. */
export class TestVarnish {
  folder!: string;
  #edge!: string;
  readonly #running: ChildProcess[] = [];

  /** The edge is who asks whether a Varnish is there. */
  async begin(edge: string): Promise<void> {
    this.#edge = edge;
    this.folder = await mkdtemp(join(tmpdir(), "boxyard-varnish-"));
    await chmod(this.folder, 0o755);
  }

  async start(address: string, vcl: string): Promise<void> {
    const path = join(this.folder, `${address}.vcl`);
    await writeFile(path, vcl);
    const storage = ["-n", join(this.folder, address), "-s", "malloc,16m", "-T", "none", "-j", "none"];
    const parameters = VARNISH_PARAMETERS.flatMap((parameter) => ["-p", parameter]);
    this.#running.push(
      spawn("/usr/sbin/varnishd", ["-F", "-a", `${address}:80`, "-f", path, ...storage, ...parameters], { stdio: "ignore" }),
    );
    const isThere = () =>
      askCache({ from: this.#edge, cache: address, path: "/boxyard-health", headers: { host: "health" } }).then(
        () => true as const,
        () => null,
      );
    await until("Varnish to answer", isThere, { timeoutMs: 120_000 });
  }

  async end(): Promise<void> {
    for (const varnish of this.#running) {
      const ended = once(varnish, "exit");
      varnish.kill();
      await ended;
    }
    await rm(this.folder, { recursive: true, force: true });
  }
}

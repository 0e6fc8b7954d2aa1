import { once } from "node:events";
import { type IncomingMessage, request } from "node:http";
import { Fault } from "#base/fault.ts";
import { CommitId } from "#contract/names.ts";

export interface ProbeOptions {
  readonly host: string;
  readonly path: string;
  readonly signal: AbortSignal;
  /** 80 by default; tests have their own. */
  readonly port?: number;
}

export interface ProbeAnswer {
  readonly release: CommitId | null;
  readonly status: number;
  readonly durationMs: number;
}

/** Asks this server's own web server for a page as the caches would, and says which release answered. */
export async function probeWebsite({ host, path, signal, port = 80 }: ProbeOptions): Promise<ProbeAnswer> {
  const startedMs = performance.now();
  const headers = { host, "x-forwarded-proto": "https", "user-agent": "boxyard-probe", connection: "close" };
  const asked = request({ host: "127.0.0.1", port, path, headers, signal, agent: false });
  asked.end();
  try {
    const [response] = (await once(asked, "response")) as [IncomingMessage];
    response.resume();
    const release = CommitId.safeParse(response.headers["x-boxyard-release"]);
    await once(response, "end");
    return { release: release.success ? release.data : null, status: response.statusCode ?? 0, durationMs: performance.now() - startedMs };
  } catch (cause) {
    throw new Fault("release.no-answer", `the web server does not answer for ${host}${path}`, { cause });
  }
}

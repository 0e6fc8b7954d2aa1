import { once } from "node:events";
import { type IncomingMessage, request } from "node:http";
import { Fault } from "#base/fault.ts";
import { SLOW_PAGE } from "#contract/actions/release.ts";
import { CommitId } from "#contract/names.ts";

export interface ProbeOptions {
  readonly host: string;
  readonly path: string;
  readonly signal: AbortSignal;
  /** 80 by default; tests have their own. */
  readonly port?: number;
  /** How long the page may take; SLOW_PAGE_MS by default. */
  readonly limitMs?: number;
}

export interface ProbeAnswer {
  readonly release: CommitId | null;
  readonly status: number;
  readonly durationMs: number;
}

/** A little less than the time limit of the action that asks. */
const SLOW_PAGE_MS = 13_000;

/**
 * Asks this server's own web server for a page as the caches would, and says which release answered. Fault
 * "release.slow-page" when the web server has taken the request and the website has not answered in time,
 * "release.no-answer" otherwise.
 */
export async function probeWebsite({ host, path, signal, port = 80, limitMs = SLOW_PAGE_MS }: ProbeOptions): Promise<ProbeAnswer> {
  const startedMs = performance.now();
  const headers = { host, "x-forwarded-proto": "https", "user-agent": "boxyard-probe", connection: "close" };
  const asked = request({ host: "127.0.0.1", port, path, headers, signal, agent: false });
  let isSlow = false;
  // Counted from when the connection stands: a web server that is not there has no slow pages.
  asked.once("socket", (socket) =>
    socket.once("connect", () => {
      const timer = setTimeout(() => {
        isSlow = true;
        asked.destroy(new Error(`no page within ${limitMs / 1000} s`));
      }, limitMs);
      asked.once("close", () => clearTimeout(timer));
    }),
  );
  asked.end();
  try {
    const [response] = (await once(asked, "response")) as [IncomingMessage];
    response.resume();
    const release = CommitId.safeParse(response.headers["x-boxyard-release"]);
    await once(response, "end");
    return { release: release.success ? release.data : null, status: response.statusCode ?? 0, durationMs: performance.now() - startedMs };
  } catch (cause) {
    throw new Fault(isSlow ? SLOW_PAGE : "release.no-answer", `the web server does not answer for ${host}${path}`, { cause });
  }
}

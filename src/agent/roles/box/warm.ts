import { reportFault } from "#base/fault.ts";
import type { Log } from "#base/log.ts";
import { run } from "#base/run.ts";
import type { WebsiteOnServer } from "#contract/spec/website.ts";
import { sitePaths } from "../../website/paths.ts";
import type { StagedRelease } from "../../website/releases/release-file.ts";
import { readLive } from "../../website/releases/switch.ts";
import { poolSocket, WARM_SCRIPT } from "./php.ts";

/** All boxes warm at once while the pusher waits: what is not compiled by then, the first visitors' requests compile. */
const COMPILE_MS = 400;
const LIMIT_MS = 1_500;

export interface WarmOptions {
  readonly website: Pick<WebsiteOnServer, "id">;
  readonly staged: StagedRelease;
  readonly log: Log;
  readonly signal: AbortSignal;
}

/** Has the website's PHP compile the staged release's most used files before it goes live; a failure costs speed only. */
export async function warmRelease({ website, staged, log, signal }: WarmOptions): Promise<void> {
  const paths = sitePaths(website.id);
  const live = readLive(paths);
  if (live === null) return;
  const environment = {
    SCRIPT_FILENAME: WARM_SCRIPT,
    REQUEST_METHOD: "GET",
    GATEWAY_INTERFACE: "CGI/1.1",
    BOXYARD_WARM_FROM: paths.release(live),
    BOXYARD_WARM_TO: paths.release(staged.commit),
    BOXYARD_WARM_MS: String(COMPILE_MS),
  };
  try {
    const startedMs = performance.now();
    const { stdout } = await run(["cgi-fcgi", "-bind", "-connect", poolSocket(website.id)], { environment, timeoutMs: LIMIT_MS, signal });
    const [, compiled] = /^compiled=(\d+)$/m.exec(stdout) ?? [];
    log.info({ website: website.id, release: staged.commit, compiled, durationMs: Math.round(performance.now() - startedMs) }, "warmed");
  } catch (thrown) {
    log.warn({ website: website.id, fault: reportFault(thrown) }, "not warmed");
  }
}

import { access, mkdir, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { dirname } from "node:path";
import { Fault } from "#base/fault.ts";
import type { WebsiteOnServer } from "#contract/spec/website.ts";
import type { WebsiteReleases } from "../../website/releases/website-releases.ts";

/** There when the box has converged, to a spec of today, since it was started; gone after a boot. */
export const READY_MARKER = "/run/boxyard/box-ready";

export interface HealthOptions {
  readonly port: number;
  readonly isConverged: () => boolean;
  /** Whether the bus has said that what the box converges to is of today. */
  readonly isConfirmed: () => boolean;
  /** For how long the bus is waited for; `GRACE_MS` unless told. */
  readonly graceMs?: number;
  /** What the box should carry now; null before the first spec. */
  readonly websites: () => readonly WebsiteOnServer[] | null;
  readonly releases: Pick<WebsiteReleases, "expected" | "live">;
  /** Tells that the box has converged since it was started; gone after a boot. */
  readonly marker?: string;
}

/**
 * What lies on the disk of a box that was off may be of yesterday. But when nobody can say, because all of the yard was
 * started anew without its control server, a cluster serves what it has: a deployment that went by without a box has
 * fenced it, and caches keep to that.
 */
const GRACE_MS = 60_000;

/** The box's answer to the caches' probes. */
export interface Health {
  stop(): Promise<void>;
}

/** Serves 200 when the box may get visitors, 503 with the reason when not. */
export async function startHealth(options: HealthOptions): Promise<Health> {
  const startedAtMs = performance.now();
  const { graceMs = GRACE_MS } = options;
  const mayBelieve = (): boolean => options.isConfirmed() || performance.now() - startedAtMs > graceMs;
  const server = createServer((_request, response) => {
    void reasonAgainst(options, mayBelieve)
      .catch((thrown: unknown) => String(thrown))
      .then((reason) => {
        response.writeHead(reason === null ? 200 : 503, { "content-type": "text/plain; charset=utf-8" });
        response.end(`${reason ?? "ready"}\n`);
      });
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause) => reject(new Fault("box.no-health", `cannot answer probes on port ${options.port}`, { cause })));
    server.listen(options.port, "127.0.0.1", resolve);
  });
  return {
    stop: async () => {
      server.closeAllConnections();
      await new Promise<void>((resolve) => {
        server.close(() => resolve());
      });
    },
  };
}

/**
 * Why the box must not get visitors, or null. Having converged once since boot is enough: a spec that has just arrived,
 * or that a checker refuses on all boxes alike, must not take a whole cluster off the air. Wrong releases always count.
 */
async function reasonAgainst(
  { isConverged, websites, releases, marker = READY_MARKER }: HealthOptions,
  mayBelieve: () => boolean,
): Promise<string | null> {
  const carried = websites();
  if (carried === null) return "there is no spec yet";
  if (isConverged() && mayBelieve()) await leaveMarker(marker);
  else if (!(await isThere(marker))) return isConverged() ? "nobody has said yet that what is here is of today" : "not converged yet";
  for (const website of carried) {
    const [live, expected] = [await releases.live(website.id), releases.expected(website)];
    if (live !== expected) return `${website.id} serves ${live ?? "no release"}, not ${expected ?? "none"}`;
  }
  return null;
}

async function leaveMarker(path: string): Promise<void> {
  if (await isThere(path)) return;
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, "");
}

async function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

import { banPages, letGo } from "#contract/actions/cache.ts";
import { probe, SLOW_PAGE } from "#contract/actions/release.ts";
import { status } from "#contract/actions/server.ts";
import type { ServerName, WebsiteId } from "#contract/names.ts";
import type { Answer, ControlFabric } from "#fabric/fabric.ts";
import type { Releases } from "../store/fences.ts";

/** Deployments of the cluster wait while a server is asked these. */
const LOCKED_MS = 2_000;

/** Whether the box's own web server answers for each of these websites, whatever it answers, and however long the website takes. */
export async function answersFor(fabric: ControlFabric, box: ServerName, websites: Iterable<WebsiteId>): Promise<boolean> {
  const asking = [...websites].map((website) => fabric.askAll(probe, [box], { website, path: "/" }));
  return (await Promise.all(asking)).every(([answer]) => answer?.output !== undefined || answer?.fault?.code === SLOW_PAGE);
}

/** Whether the box serves exactly these releases. */
export async function serves(fabric: ControlFabric, box: ServerName, releases: Releases): Promise<boolean> {
  const [answer] = await fabric.askAll(status, [box], {}, { timeoutMs: LOCKED_MS });
  const live = answer?.output?.releases;
  return live !== undefined && [...releases].every(([website, release]) => (live[website] ?? null) === release);
}

/** Whether the cache has let go of the pages of all other releases than these, and of visitors: nobody waits while it is asked. */
export async function hasLetGo(fabric: ControlFabric, cache: ServerName, releases: Releases): Promise<boolean> {
  const limit = { timeoutMs: LOCKED_MS };
  const asking = [...releases].flatMap(([website, keep]) => [
    fabric.askAll(banPages, [cache], { website, keep }, limit),
    fabric.askAll(letGo, [cache], { website }, limit),
  ]);
  return (await Promise.all<Answer<unknown>[]>(asking)).every(([answer]) => answer?.output !== undefined);
}

import { banPages as banPagesAction } from "#contract/actions/cache.ts";
import type { CommitId } from "#contract/names.ts";
import { askAll } from "../ask.ts";
import { names, short } from "../lines.ts";
import { faultsOf, note, type ServerFault, type Turn } from "../turn.ts";

/** Bans the website's pages that other releases made from the cluster's caches; gives the caches that have not confirmed. */
export async function banPages(turn: Turn, keep: CommitId | null): Promise<readonly ServerFault[]> {
  const caches = turn.site?.caches ?? [];
  if (caches.length === 0) return [];
  const { context, deployment } = turn;
  const answers = await askAll(context, banPagesAction, { servers: caches, input: { website: deployment.website, keep } });
  const faults = faultsOf(answers);
  const banned = caches.filter((cache) => !faults.some(({ server }) => server === cache));
  if (banned.length > 0) note(turn, `pages ${keep === null ? "" : `of releases other than ${short(keep)} `}banned on ${names(banned)}`);
  return faults;
}

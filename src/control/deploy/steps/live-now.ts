import { status } from "#contract/actions/server.ts";
import type { CommitId, ServerName } from "#contract/names.ts";
import { askAll } from "../ask.ts";
import { names, short } from "../lines.ts";
import { note, type Turn } from "../turn.ts";

/** Nobody waits long for a server that is out of reach: that it is belongs to the answer. */
const ANSWER_MS = 1_500;

/** Tells what each box and the shell server have live, as they say themselves; for the end of a deployment that did not go live. */
export async function tellWhatIsLive(turn: Turn): Promise<void> {
  note(turn, await whatIsLive(turn));
}

/** The same in words, for whoever must not tell anything before it is sure that the deployment ends. */
export async function whatIsLive({ context, deployment, site }: Turn, timeoutMs = ANSWER_MS): Promise<string> {
  const servers = (site?.carriers ?? []).map(({ name }) => name);
  if (servers.length === 0) return `live now: nothing, because ${deployment.website} has no servers`;
  const answers = await askAll(context, status, { servers, input: {}, timeoutMs });
  const live = new Map<ServerName, CommitId | null>();
  for (const { server, output } of answers) if (output !== undefined) live.set(server, output.releases[deployment.website] ?? null);
  const groups = Map.groupBy(servers, (server) => said(live, server));
  return `live now: ${[...groups].map(([what, those]) => `${what} on ${names(those)}`).join("; ")}`;
}

function said(live: ReadonlyMap<ServerName, CommitId | null>, server: ServerName): string {
  const release = live.get(server);
  if (release === undefined) return "no answer";
  return release === null ? "nothing" : short(release);
}

/** The command that deploys again, when what was wrong is fixed. */
export function again({ deployment }: Pick<Turn, "deployment">): string {
  return `when that is fixed: ${sameAgain(deployment)}`;
}

/** What asks for the same deployment once more. */
export function sameAgain({ kind, website, commit }: Turn["deployment"]): string {
  const commands = {
    push: "git push",
    deploy: `boxyard deploy ${website} --ref ${short(commit)}`,
    rollback: `boxyard rollback ${website} --to ${short(commit)}`,
  };
  return commands[kind];
}

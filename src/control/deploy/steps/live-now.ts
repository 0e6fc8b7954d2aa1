import { status } from "#contract/actions/server.ts";
import type { CommitId, ServerName } from "#contract/names.ts";
import { askAll } from "../ask.ts";
import { names, short } from "../lines.ts";
import { note, type Turn } from "../turn.ts";

/** Nobody waits long for a server that is out of reach: that it is belongs to the answer. */
const ANSWER_MS = 1_500;

/** Tells what each box and the shell server have live, as they say themselves; for the end of a deployment that did not go live. */
export async function tellWhatIsLive(turn: Turn): Promise<void> {
  const { context, deployment, site } = turn;
  const servers = (site?.carriers ?? []).map(({ name }) => name);
  const answers = await askAll(context, status, { servers, input: {}, timeoutMs: ANSWER_MS });
  const live = new Map<ServerName, CommitId | null>();
  for (const { server, output } of answers) if (output !== undefined) live.set(server, output.releases[deployment.website] ?? null);
  const groups = Map.groupBy(servers, (server) => said(live, server));
  note(turn, `live now: ${[...groups].map(([what, those]) => `${what} on ${names(those)}`).join("; ")}`);
}

function said(live: ReadonlyMap<ServerName, CommitId | null>, server: ServerName): string {
  const release = live.get(server);
  if (release === undefined) return "no answer";
  return release === null ? "nothing" : short(release);
}

/** What whoever deploys can type next. */
export function again({ deployment }: Turn): string {
  const { kind, website, commit } = deployment;
  const commands = {
    push: "git push",
    deploy: `boxyard deploy ${website} --ref ${short(commit)}`,
    rollback: `boxyard rollback ${website} --to ${short(commit)}`,
  };
  return `when that is mended: ${commands[kind]}`;
}

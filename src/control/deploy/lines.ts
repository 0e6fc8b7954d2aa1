import type { FaultReport } from "#base/fault.ts";
import type { CommitId, ServerName } from "#contract/names.ts";

/** A commit as people read it. */
export function short(commit: CommitId): string {
  return commit.slice(0, 7);
}

/** Names in a row, shortened when there are many. */
export function names(servers: readonly ServerName[]): string {
  return servers.length <= 8 ? servers.join(", ") : `${servers.slice(0, 7).join(", ")} and ${servers.length - 7} more`;
}

/** "3 servers", "1 server". */
export function count(amount: number, noun: string): string {
  return `${amount} ${noun}${amount === 1 ? "" : "s"}`;
}

/** A duration: "312 ms", "1.2 s". */
export function duration(ms: number): string {
  return ms < 999.5 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

/** An amount of data: "0.4 MB", "12 MB". */
export function megabytes(bytes: number): string {
  const amount = bytes / 1_000_000;
  return `${amount < 9.95 ? amount.toFixed(1) : Math.round(amount)} MB`;
}

/** The time of day of a moment, with microseconds. */
export function timeOfDay(moment: string): string {
  return moment.slice(11, -1);
}

/** What a website serves: its release, or that it has none. */
export function serves(website: string, release: CommitId | null): string {
  return release === null ? `${website} has no release yet` : `${website} still serves ${short(release)}`;
}

/** Servers' faults on one line; servers of which the same is to be said are named together. */
export function faultLines(faults: readonly { readonly server: ServerName; readonly fault: FaultReport }[]): string {
  const groups = Map.groupBy(faults, ({ fault }) => `${fault.message} → ${fault.next}`);
  return [...groups.values()]
    .flatMap(([first, ...others]) => {
      if (first === undefined) return [];
      return [faultLine(names([first, ...others].map(({ server }) => server)), first.fault)];
    })
    .join("; ");
}

/** A server's fault on one line, with what helps. */
export function faultLine(who: string, fault: FaultReport): string {
  const said = fault.message.replaceAll("\n", " ");
  const named = said.startsWith(`${who} `) ? said : `${who}: ${said}`;
  return fault.next === null ? named : `${named} → ${fault.next}`;
}

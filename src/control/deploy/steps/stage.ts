import { isFault, renderFault, reportFault } from "#base/fault.ts";
import { stage as stageAction } from "#contract/actions/release.ts";
import type { Procedure } from "#contract/boxfile.ts";
import type { ServerName } from "#contract/names.ts";
import type { ServerNote } from "../../store/deployments.ts";
import type { Carrier } from "../../store/website-on-yard.ts";
import { wrongClock } from "../../wrong-clock.ts";
import { ask } from "../ask.ts";
import { count, duration, faultLine, faultLines, serves, short } from "../lines.ts";
import { lookAgain, move, note, notesOf, type ServerFault, type Turn, withoutRemoved } from "../turn.ts";
import { canDoWithout, confirmFences, leaveOut } from "./leave-out.ts";
import { again, tellWhatIsLive } from "./live-now.ts";
import { procedureOf } from "./procedure.ts";

/** `staging → staged`: all servers that take part have the release beside the live one; when too few can, nothing has changed anywhere. */
export async function stage(turn: Turn): Promise<void> {
  const { clock } = turn.context;
  const startedAtMs = clock.elapsedMs();
  const outcome = await stageOrLeaveOut(turn);
  if ("reason" in outcome) return failStaging(turn, "staging", outcome);
  const line = `staged on ${count(outcome.notes.length, "server")} in ${duration(clock.elapsedMs() - startedAtMs)}`;
  return move(turn, { from: "staging", to: "staged" }, { servers: outcome.notes, procedure: outcome.procedure, line });
}

interface Unstaged {
  readonly reason: string;
  readonly notes: readonly ServerNote[];
}

/** Ends a deployment that too few servers could stage. */
export async function failStaging(turn: Turn, from: "staging" | "staged", { reason, notes }: Unstaged): Promise<void> {
  const { website, previous } = turn.deployment;
  await tellWhatIsLive(turn);
  const line = `failed: ${reason}; nothing changed: ${serves(website, previous)}; ${again(turn)}`;
  return move(turn, { from, to: "failed" }, { reason, servers: notes, line });
}

interface Staged {
  readonly notes: readonly ServerNote[];
  readonly procedure: Procedure;
}

/** Stages everywhere, and goes on without those that cannot while enough boxes are left and nobody is sent to the others. */
export async function stageOrLeaveOut(turn: Turn): Promise<Unstaged | Staged> {
  const { notes, faults, procedure } = await stageEverywhere(turn);
  // Others may have been fenced meanwhile: building and staging take their time.
  await lookAgain(turn);
  const what = `cannot stage ${short(turn.deployment.commit)}`;
  const isShellNeeded = procedure.hooks.includes("update") && faults.some(({ server }) => roleOf(turn, server) === "shell");
  if (isShellNeeded || !canDoWithout(turn, faults)) {
    const why = faultLines(faults) || tooFew(turn);
    return { reason: `${what}: ${why}`, notes: [...notes, ...notesOf(turn, faults)] };
  }
  await leaveOut(turn, faults);
  const unconfirmed = await whyUnconfirmed(turn);
  return unconfirmed === null ? { notes, procedure } : { reason: `${what}: ${unconfirmed}`, notes };
}

/** Why visitors may still be sent to a box that has no part in the deployment; null when they are not. */
export async function whyUnconfirmed(turn: Turn): Promise<string | null> {
  try {
    await confirmFences(turn);
    return null;
  } catch (thrown) {
    if (!isFault(thrown, "rotation.unconfirmed")) throw thrown;
    return renderFault(thrown).replace("\n", " ");
  }
}

function tooFew({ site }: Turn): string {
  const fenced = (site?.carriers ?? []).flatMap(({ name, fence }) => (fence === null ? [] : [`${name} is fenced (${fence})`]));
  return `too few boxes get visitors: ${fenced.join("; ")}`;
}

function roleOf({ carriers }: Turn, server: ServerName): Carrier["role"] | undefined {
  return carriers.find(({ name }) => name === server)?.role;
}

/** Asks all to stage the deployment's release, and gives who has it, who cannot, and how the deployment goes on. */
export async function stageEverywhere(turn: Turn): Promise<Staged & { readonly faults: readonly ServerFault[] }> {
  const { clock, timing, signal } = turn.context;
  const startedAtMs = clock.elapsedMs();
  const notes: ServerNote[] = [];
  const faults: ServerFault[] = [];
  let procedure: Procedure | null = null;
  let saidAtMs = Number.NEGATIVE_INFINITY;
  for (let waiting = turn.carriers; ; ) {
    const round = await stageOnce(turn, waiting);
    notes.push(...round.notes);
    procedure ??= round.procedure;
    waiting = waiting.filter(
      ({ name, fence }) => fence === null && round.faults.some((one) => one.server === name && MAY_APPEAR.has(one.fault.code)),
    );
    const appearing = round.faults.filter(({ server }) => waiting.some(({ name }) => name === server));
    faults.push(...round.faults.filter((one) => !appearing.includes(one)));
    const isNeeded = !canDoWithout(turn, [...faults, ...appearing]);
    const isOver = clock.elapsedMs() - startedAtMs > patienceMs(turn, isNeeded, appearing) || !canDoWithout(turn, faults);
    if (appearing.length === 0 || isOver)
      return { notes, faults: await withoutRemoved(turn, [...faults, ...appearing]), procedure: procedureOf(turn.deployment, procedure) };
    if (clock.elapsedMs() - saidAtMs > SAY_AGAIN_MS) {
      for (const one of appearing) note(turn, `waiting: ${faultLine(one.server, one.fault)}`, one.server);
      saidAtMs = clock.elapsedMs();
    }
    await clock.sleep(timing.againMs, signal);
  }
}

/** The pusher is told this often that it is still waited for a server. */
const SAY_AGAIN_MS = 5_000;

/** A server that is being created, reconnects, or whose spec with the website is on its way, is there in a moment. */
const MAY_APPEAR: ReadonlySet<string> = new Set(["fabric.no-server", "release.unknown-website"]);

/** How long servers are waited for: shorter when the others are enough, and not at all when they have been silent for as long. */
function patienceMs({ context: { clock, fabric, timing } }: Turn, isNeeded: boolean, appearing: readonly ServerFault[]): number {
  if (isNeeded) return timing.appearMs;
  const silentSince = clock.nowMicros() / 1_000 - timing.fenceMs;
  const areGone = appearing.every(({ server }) => {
    const heardAt = fabric.lastHeard(server);
    return heardAt !== null && Date.parse(heardAt) < silentSince;
  });
  return areGone ? 0 : timing.fenceMs;
}

interface Round {
  readonly notes: readonly ServerNote[];
  readonly faults: readonly ServerFault[];
  /** As the release says; null when nobody has staged it. */
  readonly procedure: Procedure | null;
}

/** Servers that would stage the release and then refuse to switch, because they do not agree with control what time it is. */
function untimelyOf({ context: { fabric } }: Turn, carriers: readonly Carrier[]): ServerFault[] {
  return carriers.flatMap(({ name: server }) => {
    const fault = wrongClock(fabric, server);
    return fault === null ? [] : [{ server, fault: reportFault(fault) }];
  });
}

async function stageOnce(turn: Turn, carriers: readonly Carrier[]): Promise<Round> {
  const { context, deployment } = turn;
  const roles = new Map(carriers.map(({ name, role }) => [name, role]));
  const untimely = untimelyOf(turn, carriers);
  const servers = [...roles.keys()].filter((name) => !untimely.some(({ server }) => server === name));
  const question = { servers, input: { website: deployment.website, release: deployment.commit } };
  const notes: ServerNote[] = [];
  const faults: ServerFault[] = [...untimely];
  let procedure: Procedure | null = null;
  for await (const { server, output, fault } of ask(context, stageAction, question)) {
    if (fault !== undefined) {
      faults.push({ server, fault });
      continue;
    }
    procedure = output.procedure;
    notes.push({ name: server, role: roles.get(server) ?? "box", stagedAt: output.stagedAt, error: null });
    note(turn, `${server} has staged it (${count(output.filesChanged, "file")} changed)`, server);
  }
  return { notes, faults, procedure };
}

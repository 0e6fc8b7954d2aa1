import { setTimeout as sleep } from "node:timers/promises";
import { stage as stageAction } from "#contract/actions/release.ts";
import type { ServerNote } from "../../store/deployments.ts";
import type { Carrier } from "../../store/website-on-yard.ts";
import { ask } from "../ask.ts";
import { count, duration, faultLine, serves, short } from "../lines.ts";
import { move, note, type ServerFault, type Turn, withoutRemoved } from "../turn.ts";

/** `staging → staged`: all servers have the release beside the live one; when one cannot, nothing has changed anywhere. */
export async function stage(turn: Turn): Promise<void> {
  const { deployment } = turn;
  const startedAtMs = performance.now();
  const { notes, faults } = await stageEverywhere(turn);
  if (faults.length === 0) {
    const line = `staged on ${count(notes.length, "server")} in ${duration(performance.now() - startedAtMs)}`;
    return move(turn, { from: "staging", to: "staged" }, { servers: notes, line });
  }
  const reason = `cannot stage ${short(deployment.commit)}: ${faults.map((one) => faultLine(one.server, one.fault)).join("; ")}`;
  const line = `failed: ${reason}; nothing changed: ${serves(deployment.website, deployment.previous)}`;
  return move(turn, { from: "staging", to: "failed" }, { reason, servers: [...notes, ...notesOf(turn, faults)], line });
}

/** What a server that failed says in the deployment's record. */
export function notesOf({ carriers }: Turn, faults: readonly ServerFault[]): ServerNote[] {
  return carriers.flatMap(({ name, role }) => {
    const failed = faults.find((one) => one.server === name);
    return failed === undefined ? [] : [{ name, role, error: faultLine(name, failed.fault) }];
  });
}

/** Asks all to stage the deployment's release, and gives who has it and who cannot. */
export async function stageEverywhere(turn: Turn): Promise<{ notes: ServerNote[]; faults: readonly ServerFault[] }> {
  const { timing, signal } = turn.context;
  const deadlineMs = performance.now() + timing.appearMs;
  const notes: ServerNote[] = [];
  let saidAtMs = Number.NEGATIVE_INFINITY;
  for (let waiting = turn.carriers; ; ) {
    const round = await stageOnce(turn, waiting);
    notes.push(...round.notes);
    const mayAppear = round.faults.filter((one) => MAY_APPEAR.has(one.fault.code));
    const isHopeless = mayAppear.length < round.faults.length || performance.now() > deadlineMs;
    if (mayAppear.length === 0 || isHopeless) return { notes, faults: await withoutRemoved(turn, round.faults) };
    if (performance.now() - saidAtMs > SAY_AGAIN_MS) {
      for (const one of mayAppear) note(turn, `waiting: ${faultLine(one.server, one.fault)}`, one.server);
      saidAtMs = performance.now();
    }
    waiting = turn.carriers.filter((carrier) => mayAppear.some((one) => one.server === carrier.name));
    await sleep(timing.againMs, undefined, { signal });
  }
}

/** The pusher is told this often that it is still waited for a server. */
const SAY_AGAIN_MS = 5_000;

/** A server that is being created, reconnects, or whose spec with the website is on its way, is there in a moment. */
const MAY_APPEAR: ReadonlySet<string> = new Set(["fabric.no-server", "release.unknown-website"]);

async function stageOnce(turn: Turn, carriers: readonly Carrier[]): Promise<{ notes: ServerNote[]; faults: ServerFault[] }> {
  const { context, deployment } = turn;
  const roles = new Map(carriers.map(({ name, role }) => [name, role]));
  const question = { servers: [...roles.keys()], input: { website: deployment.website, release: deployment.commit } };
  const notes: ServerNote[] = [];
  const faults: ServerFault[] = [];
  for await (const { server, output, fault } of ask(context, stageAction, question)) {
    if (fault !== undefined) {
      faults.push({ server, fault });
      continue;
    }
    notes.push({ name: server, role: roles.get(server) ?? "box", stagedAt: output.stagedAt, error: null });
    note(turn, `${server} has staged it (${count(output.filesChanged, "file")} changed)`, server);
  }
  return { notes, faults };
}

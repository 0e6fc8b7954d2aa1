import type { FaultReport } from "#base/fault.ts";
import { restoreDatabases, snapshotDatabases } from "#contract/actions/database.ts";
import type { ServerName } from "#contract/names.ts";
import { noteSnapshot } from "../../store/deployments.ts";
import { listServerRows } from "../../store/servers.ts";
import { askAll } from "../ask.ts";
import { duration, faultLine, megabytes, names } from "../lines.ts";
import { note, type ServerFault, type Turn } from "../turn.ts";
import { keepHolding } from "./hold.ts";
import { endUpdate } from "./run-hook.ts";

/** Keeps the website's databases as they are, when its release says so; gives why that could not be done, or null. */
export async function takeSnapshot(turn: Turn): Promise<ServerFault | null> {
  const { context, deployment, site } = turn;
  if (!deployment.snapshotsDatabases || deployment.hasSnapshot || site === null || site.databases.length === 0) return null;
  const startedAtMs = context.clock.elapsedMs();
  const outcome = await carryOut(turn, snapshotDatabases);
  if ("fault" in outcome) return outcome;
  await noteSnapshot(context.store, deployment.id);
  turn.deployment = { ...deployment, hasSnapshot: true };
  const took = duration(context.clock.elapsedMs() - startedAtMs);
  note(turn, `kept ${names(site.databases)} as before the update (${megabytes(outcome.bytes)}, ${took})`, outcome.server);
  return null;
}

/** Puts the databases back that the deployment has kept; gives what went wrong, in words, or null. */
export async function restoreSnapshot(turn: Turn): Promise<string | null> {
  const { deployment, site } = turn;
  const { clock } = turn.context;
  if (!deployment.hasSnapshot || site === null) return null;
  const alive = await endUpdate(turn);
  if (alive !== null) {
    const why = `hooks.update may still write into it on ${faultLine(alive.server, alive.fault)}`;
    return `${names(site.databases)} is as it is, not as before the update: ${why}; what was kept stays on the database server`;
  }
  const startedAtMs = clock.elapsedMs();
  const outcome = await carryOut(turn, restoreDatabases);
  if ("fault" in outcome) return `${names(site.databases)} could not be put back: ${outcome.fault.message}`;
  note(turn, `put ${names(site.databases)} back as before the update (${duration(clock.elapsedMs() - startedAtMs)})`, outcome.server);
  return null;
}

interface Done {
  readonly server: ServerName;
  readonly bytes: number;
}

/** Asks until it has ended. */
async function carryOut(turn: Turn, action: typeof snapshotDatabases | typeof restoreDatabases): Promise<Done | ServerFault> {
  const { context, deployment, site } = turn;
  const server = (await listServerRows(context.store)).find(({ roles, state }) => roles.includes("database") && state === "present")?.name;
  if (server === undefined) return { server: "database", fault: fault("the yard has no database server") };
  const input = { databases: [...(site?.databases ?? [])], deployment: deployment.id };
  let heardAtMs = context.clock.elapsedMs();
  const stayHeld = keepHolding(turn);
  for (;;) {
    const [answer] = await askAll(context, action, { servers: [server], input });
    if (answer?.output !== undefined) {
      heardAtMs = context.clock.elapsedMs();
      const { state, why, bytes } = answer.output;
      if (state === "done") return { server, bytes };
      if (state === "failed") return { server, fault: fault(why ?? "it failed") };
    } else if (!answer?.fault.code.startsWith("fabric.") || context.clock.elapsedMs() - heardAtMs > context.timing.hookAwayMs) {
      return { server, fault: answer?.fault ?? fault("no answer") };
    }
    await stayHeld();
    await context.clock.sleep(context.timing.hookLookMs, context.signal);
  }
}

function fault(message: string): FaultReport {
  return { code: "deployment.no-snapshot", message, next: null };
}

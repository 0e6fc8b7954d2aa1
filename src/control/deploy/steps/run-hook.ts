import type { z } from "zod";
import type { FaultReport } from "#base/fault.ts";
import { endHook, runHook as runHookAction } from "#contract/actions/hook.ts";
import type { HookName } from "#contract/boxfile.ts";
import type { ServerName } from "#contract/names.ts";
import { askAll } from "../ask.ts";
import { duration } from "../lines.ts";
import { faultsOf, note, type ServerFault, type Turn } from "../turn.ts";
import { keepHolding } from "./hold.ts";
import { Output } from "./output.ts";

type Told = z.output<typeof runHookAction.output>;

/** A person reads no more as it comes. */
const MOST_LINES = 1_000;
/** A hook may say nothing for long; whoever waits for it is told that it is not forgotten. */
const SAY_AGAIN_MS = 30_000;

/** Where the hook runs; null when there is none, or nothing to run it on. */
export function shellFor(turn: Turn, hook: HookName): ServerName | null {
  if (!turn.deployment.hooks.includes(hook)) return null;
  const shell = turn.carriers.find(({ role }) => role === "shell")?.name;
  if (shell === undefined) note(turn, `warning: hooks.${hook} did not run: the cluster's shell server takes no part`);
  return shell ?? null;
}

/** Follows a hook to its end, telling what it says; gives why it counts as failed, or null. */
export async function runHook(turn: Turn, hook: HookName, shell: ServerName): Promise<FaultReport | null> {
  const { context, deployment } = turn;
  const { website, commit: release, id } = deployment;
  const startedAtMs = context.clock.elapsedMs();
  let [heardAtMs, saidAtMs] = [startedAtMs, startedAtMs];
  let after: string | null = null;
  const output = new Output(turn, MOST_LINES);
  // What comes after the update keeps nobody waiting.
  const stayHeld = hook === "update" ? keepHolding(turn) : async () => undefined;
  for (;;) {
    const input: z.input<typeof runHookAction.input> = { website, release, deployment: id, hook, after };
    const [answer] = await askAll(context, runHookAction, { servers: [shell], input });
    if (answer?.output !== undefined) {
      heardAtMs = context.clock.elapsedMs();
      after = answer.output.cursor ?? after;
      output.hear(answer.output.lines, shell);
      if (answer.output.state !== "running" && answer.output.state !== "done") output.tellLast(shell);
      if (answer.output.state !== "running")
        return ended(turn, { hook, shell, tookMs: context.clock.elapsedMs() - startedAtMs, told: answer.output });
    } else if (!MAY_PASS.has(answer?.fault.code ?? "") || context.clock.elapsedMs() - heardAtMs > context.timing.hookAwayMs) {
      return answer?.fault ?? null;
    }
    if (context.clock.elapsedMs() - saidAtMs > SAY_AGAIN_MS) {
      saidAtMs = context.clock.elapsedMs();
      note(turn, `hooks.${hook} still runs (${duration(saidAtMs - startedAtMs)})`, shell);
    }
    await stayHeld();
    await context.clock.sleep(context.timing.hookLookMs, context.signal);
  }
}

/** Nothing of the update acts any more when this gives null; else who may still run it, and why that is not known. */
export async function endUpdate(turn: Turn): Promise<ServerFault | null> {
  const { context, deployment, site } = turn;
  const shell = site?.carriers.find(({ role }) => role === "shell")?.name;
  if (shell === undefined) return null;
  const input = { website: deployment.website, deployment: deployment.id, hook: "update" as const };
  const startedAtMs = context.clock.elapsedMs();
  const stayHeld = keepHolding(turn);
  for (;;) {
    const [silent] = faultsOf(await askAll(context, endHook, { servers: [shell], input }));
    if (silent === undefined || context.clock.elapsedMs() - startedAtMs > context.timing.appearMs) return silent ?? null;
    await stayHeld();
    await context.clock.sleep(context.timing.againMs, context.signal);
  }
}

/** A shell server that is out of reach goes on with its hook, and may be back in a moment. */
const MAY_PASS: ReadonlySet<string> = new Set(["fabric.no-server", "fabric.timed-out", "fabric.silent", "fabric.busy"]);

interface End {
  readonly hook: HookName;
  readonly shell: ServerName;
  readonly tookMs: number;
  readonly told: Told;
}

function ended(turn: Turn, { hook, shell, tookMs, told }: End): FaultReport | null {
  if (told.state === "done") {
    note(turn, `hooks.${hook} is done (${duration(tookMs)})`, shell);
    return null;
  }
  return { code: "hook.failed", message: `hooks.${hook} ${HOW[told.state](told)}`, next: null };
}

const HOW: Record<Exclude<Told["state"], "done">, (told: Told) => string> = {
  running: () => "still runs",
  failed: ({ exitStatus }) => (exitStatus === null ? "was ended by a signal" : `ended with exit status ${exitStatus}`),
  "timed-out": () => "took too long and was ended",
  lost: () => "was interrupted: its server was started anew",
};

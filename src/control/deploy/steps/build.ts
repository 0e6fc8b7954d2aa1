import type { z } from "zod";
import type { FaultReport } from "#base/fault.ts";
import { runBuild } from "#contract/actions/build.ts";
import { askAll } from "../ask.ts";
import { duration, names, serves, short } from "../lines.ts";
import { move, note, type Turn } from "../turn.ts";
import { again, tellWhatIsLive } from "./live-now.ts";
import { Output } from "./output.ts";

type Told = z.output<typeof runBuild.output>;

/** A person reads no more as it comes. */
const MOST_LINES = 2_000;

/** `building → staging`: the commit is built once, in a server of its own; what fails changes nothing anywhere. */
export async function build(turn: Turn): Promise<void> {
  const { context, deployment, carriers } = turn;
  const startedAtMs = context.clock.elapsedMs();
  const why = await carryOut(turn);
  if (why !== null) {
    const reason = `cannot build ${short(deployment.commit)}: ${why}`;
    await tellWhatIsLive(turn);
    const line = `failed: ${reason}; nothing changed: ${serves(deployment.website, deployment.previous)}; ${again(turn)}`;
    await move(turn, { from: "building", to: "failed" }, { reason, line });
  } else {
    const built = `built in ${duration(context.clock.elapsedMs() - startedAtMs)}`;
    await move(turn, { from: "building", to: "staging" }, { line: `${built}; staging on ${names(carriers.map(({ name }) => name))}` });
  }
  await context.builders.retire();
}

/** Follows the build to its end, telling what it says; gives why it failed, or null. */
async function carryOut(turn: Turn): Promise<string | null> {
  const { context, deployment } = turn;
  const { website, cluster, commit } = deployment;
  let heardAtMs = context.clock.elapsedMs();
  let after: string | null = null;
  const output = new Output(turn, MOST_LINES);
  let isThere = false;
  for (;;) {
    // Again and again: the one of an earlier build may be on its way out.
    const builder = await context.builders.ensure({ website, cluster });
    const input: z.input<typeof runBuild.input> = { website, commit, after };
    const [answer] = await askAll(context, runBuild, { servers: [builder], input });
    if (answer?.output !== undefined) {
      if (!isThere) note(turn, `${builder} is there: a server for this build alone`, builder);
      isThere = true;
      heardAtMs = context.clock.elapsedMs();
      const { state, lines: said, cursor } = answer.output;
      after = cursor ?? after;
      output.hear(said, builder);
      if (state === "done") return null;
      if (state !== "running") output.tellLast(builder);
      if (state !== "running") return HOW[state](answer.output);
    } else if (!isOnItsWay(answer?.fault, isThere) || context.clock.elapsedMs() - heardAtMs > context.timing.builderMs) {
      return answer?.fault.message ?? "no answer";
    }
    await context.clock.sleep(context.timing.hookLookMs, context.signal);
  }
}

/** A server is made, starts, and gets its spec; or it is out of reach for a moment; or it dies while it answers, and can run nothing any more. */
function isOnItsWay(fault: FaultReport | undefined, isThere: boolean): boolean {
  if (fault === undefined) return false;
  return fault.code.startsWith("fabric.") || fault.code === "release.unknown-website" || (isThere && fault.code === "run.failed");
}

const HOW: Record<Exclude<Told["state"], "done" | "running">, (told: Told) => string> = {
  failed: ({ exitStatus }) => (exitStatus === null ? "it was ended by a signal" : `it ended with exit status ${exitStatus}`),
  "timed-out": () => "it took too long and was ended",
  lost: () => "it was interrupted: its server was started anew",
};

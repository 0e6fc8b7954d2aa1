import { Fault, type FaultReport, faultFromReport } from "#base/fault.ts";
import { mapParallel } from "#base/parallel.ts";
import { settlePush } from "#contract/actions/git.ts";
import type { ServerName, WebsiteId } from "#contract/names.ts";
import type { Push } from "#contract/push.ts";
import { type DeploymentRecord, listUnsettled, markSettled } from "../../store/deployments.ts";
import { askAll } from "../ask.ts";
import type { DeployContext } from "../context.ts";

const AT_ONCE = 8;

/** Tells the git servers how pushes ended; one that does not answer is told in a later turn. */
export async function settleAll(context: DeployContext): Promise<void> {
  const unsettled = await listUnsettled(context.store);
  await mapParallel(unsettled, AT_ONCE, (one) => settle(context, one));
}

/** Tells the git server that its push is for no website of this yard. Throws when it cannot be told: the push comes again. */
export async function refusePush(context: DeployContext, push: Push): Promise<void> {
  const reason = `there is no website ${push.website}`;
  const fault = await tell(context, push.server, { website: push.website, pushId: push.id, isLive: false, reason });
  if (fault === null || fault.code === "git.unknown-push") return;
  throw new Fault("deployment.not-refused", `cannot refuse push ${push.id}: ${reason}`, { cause: faultFromReport(fault) });
}

async function settle(context: DeployContext, { id, website, push, state, reason, gitServer }: DeploymentRecord): Promise<void> {
  if (push === null || gitServer === null) return markSettled(context.store, id);
  const fault = await tell(context, gitServer, { website, pushId: push, isLive: state === "live", reason });
  if (fault !== null && fault.code !== "git.unknown-push") {
    context.log.warn({ deployment: id, fault }, "push not settled yet");
    return;
  }
  if (fault !== null) context.log.warn({ deployment: id, push }, "the git server does not know the push");
  await markSettled(context.store, id);
}

interface Outcome {
  readonly website: WebsiteId;
  readonly pushId: string;
  readonly isLive: boolean;
  readonly reason: string | null;
}

async function tell(context: DeployContext, gitServer: ServerName, outcome: Outcome): Promise<FaultReport | null> {
  const [answer] = await askAll(context, settlePush, { servers: [gitServer], input: outcome });
  return answer?.fault ?? null;
}

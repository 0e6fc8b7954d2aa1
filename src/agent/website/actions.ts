import { stage, switchTo, withdraw } from "#contract/actions/release.ts";
import type { AgentFabric } from "#fabric/fabric.ts";
import type { WebsiteReleases } from "./releases/website-releases.ts";

/** Answers what the control plane asks of every server that carries websites: stage, switch, withdraw. */
export function answerReleaseActions(fabric: AgentFabric, releases: WebsiteReleases): void {
  fabric.answer(stage, async ({ website, release }, { signal }) => {
    const { stagedAt, filesChanged } = await releases.stage(website, release, signal);
    return { stagedAt, filesChanged };
  });
  fabric.answer(switchTo, ({ website, release, at, latestMs, deployment }, { signal }) =>
    releases.switchTo({ website, release, deployment }, { at, latestMs }, signal),
  );
  fabric.answer(withdraw, async ({ website, deployment }) => ({ previous: await releases.withdraw(website, deployment) }));
}

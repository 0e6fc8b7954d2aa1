import { stage, switchTo, withdraw } from "#contract/actions/release.ts";
import { HookName } from "#contract/boxfile.ts";
import type { AgentFabric } from "#fabric/fabric.ts";
import type { WebsiteReleases } from "./releases/website-releases.ts";

/** Answers what the control plane asks of every server that carries websites: stage, switch, withdraw. */
export function answerReleaseActions(fabric: AgentFabric, releases: WebsiteReleases): void {
  fabric.answer(stage, async ({ website, release }, { signal }) => {
    const { stagedAt, filesChanged, hooks } = await releases.stage(website, release, signal);
    return { stagedAt, filesChanged, hooks: HookName.options.filter((hook) => hooks[hook].length > 0) };
  });
  fabric.answer(switchTo, ({ website, release, at, latestMs, decision }, { signal }) =>
    releases.switchTo({ website, release, decision }, { at, latestMs }, signal),
  );
  fabric.answer(withdraw, async ({ website, decision }) => ({ previous: await releases.withdraw(website, decision) }));
}

import { stage, switchTo, withdraw } from "#contract/actions/release.ts";
import { HookName, type Procedure } from "#contract/boxfile.ts";
import type { RoleContext } from "../roles/role.ts";
import type { StagedRelease } from "./releases/release-file.ts";
import type { WebsiteReleases } from "./releases/website-releases.ts";

/** Answers what the control plane asks of every server that carries websites: stage, switch, withdraw. */
export function answerReleaseActions({ fabric, beat }: Pick<RoleContext, "fabric" | "beat">, releases: WebsiteReleases): void {
  fabric.answer(stage, async ({ website, release }, { signal }) => {
    const staged = await releases.stage(website, release, signal);
    return { stagedAt: staged.stagedAt, filesChanged: staged.filesChanged, procedure: procedureOf(staged) };
  });
  fabric.answer(switchTo, ({ website, release, at, latestMs, decision }, { signal }) =>
    releases.switchTo({ website, release, decision }, { at, latestMs }, signal),
  );
  fabric.answer(withdraw, async ({ website, decision }) => {
    const previous = await releases.withdraw(website, decision);
    // A switch is followed by a spec, and so by a heartbeat; this is not.
    beat();
    return { previous };
  });
}

function procedureOf({ hooks, snapshotsDatabases, holdSeconds }: StagedRelease): Procedure {
  return { hooks: HookName.options.filter((hook) => hooks[hook].length > 0), snapshotsDatabases, holdSeconds };
}

import { Fault } from "#base/fault.ts";
import { runBuild } from "#contract/actions/build.ts";
import type { CommitId } from "#contract/names.ts";
import type { BuilderSpec } from "#contract/spec/builder.ts";
import { user } from "../../converge/user.ts";
import { PackSource } from "../../website/releases/pack-source.ts";
import type { StartRole } from "../role.ts";
import { Build, CACHE } from "./build.ts";
import { BUILDER } from "./workshop.ts";

/** Begins the builder's role: one build, and then the server is thrown away. */
export const startBuilder: StartRole<BuilderSpec> = async ({ enrolment, fabric, currentSpec, isConverged }) => {
  const packs = new PackSource(enrolment);
  const builds = new Map<CommitId, Build>();
  fabric.answer(runBuild, async ({ website, commit, after }) => {
    const spec = currentSpec()?.roles.builder;
    if (spec?.website !== website || !isConverged())
      throw new Fault("release.unknown-website", `this server does not build ${website} yet`);
    const build = builds.get(commit) ?? new Build(spec, commit, packs);
    builds.set(commit, build);
    return build.tell(after);
  });
  return {
    groups: () => [{ name: "builder", resources: [user({ ...BUILDER, home: `${CACHE}/home`, shell: "/bin/bash" })] }],
    stop: async () => packs.close(),
  };
};

import { Fault } from "#base/fault.ts";
import { runBuild } from "#contract/actions/build.ts";
import type { CommitId } from "#contract/names.ts";
import type { BuilderSpec } from "#contract/spec/builder.ts";
import { configuration } from "../../converge/configuration.ts";
import { file } from "../../converge/file.ts";
import type { Resource } from "../../converge/resource.ts";
import { user } from "../../converge/user.ts";
import { accountsApart } from "../../website/neighbours.ts";
import { PackSource } from "../../website/releases/pack-source.ts";
import type { StartRole } from "../role.ts";
import { Build } from "./build.ts";
import { CACHE, NPMRC } from "./environment.ts";
import { BUILDER } from "./workshop.ts";

/** What stands there is trusted by all that the system's own store is asked by. */
const AUTHORITIES = "/usr/local/share/ca-certificates";

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
    return build.advance(after);
  });
  return {
    groups: (spec) => [
      { name: "accounts", resources: accountsApart() },
      { name: "builder", resources: [user({ ...BUILDER, home: `${CACHE}/home`, shell: "/bin/bash" }), ...packageSources(spec)] },
    ],
    stop: async () => packs.close(),
  };
};

/** What an operator has said of the places that packages come from. */
function packageSources({ packages: { npmrc, authorities } }: BuilderSpec): Resource[] {
  return [
    file({ path: NPMRC, content: npmrc }),
    configuration({
      id: "system authorities",
      files: authorities === "" ? [] : [{ path: `${AUTHORITIES}/operator.crt`, content: authorities }],
      owns: [{ directory: AUTHORITIES, pattern: /^operator\.crt$/ }],
      check: null,
      activate: [["update-ca-certificates"]],
    }),
  ];
}

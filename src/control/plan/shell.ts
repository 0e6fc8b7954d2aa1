import type { ClusterId } from "#contract/names.ts";
import type { ShellSpec } from "#contract/spec/shell.ts";
import type { PlannedServer } from "./rows.ts";
import { planGitSource, planWebsite } from "./website.ts";
import type { Yard } from "./yard.ts";

/** A cluster's shell server carries all of its websites, with the keys that may log in. */
export function planShell(yard: Yard, cluster: ClusterId, server: PlannedServer): ShellSpec {
  return {
    cluster,
    git: planGitSource(yard),
    hostKey: server.host_key?.privateKey ?? "",
    limits: yard.rows.limits,
    websites: yard
      .websites(cluster)
      .map((website) => ({ ...planWebsite(yard, website), authorizedKeys: website.keys.map((key) => key.public_key).sort() })),
  };
}

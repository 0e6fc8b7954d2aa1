import type { GitSpec } from "#contract/spec/git.ts";
import { builderOf } from "./builder.ts";
import type { PlannedServer } from "./rows.ts";
import { goodReleases, uidOf } from "./website.ts";
import { PORTS, type Yard } from "./yard.ts";

/** The git server has every website's repository; only the servers that carry a website may read it. */
export function planGit(yard: Yard, server: PlannedServer): GitSpec {
  return {
    hostKey: server.host_key?.privateKey ?? "",
    packPort: PORTS.pack,
    limits: yard.rows.limits,
    websites: yard.websites().map((website) => ({
      id: website.id,
      uid: uidOf(website.id),
      branch: website.branch,
      environment: website.environment,
      authorizedKeys: website.keys.map((key) => key.public_key).sort(),
      builder: yard.withRole("builder", website.cluster).find(({ name }) => name === builderOf(website.id))?.name ?? null,
      readers: yard.carriers(website.cluster).map(({ name }) => name),
      release: website.release,
      goodReleases: goodReleases(website),
    })),
  };
}

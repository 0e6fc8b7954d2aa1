import type { ClusterId } from "#contract/names.ts";
import type { BoxSpec } from "#contract/spec/box.ts";
import { planGitSource, planWebsite } from "./website.ts";
import { addressOf, type Yard } from "./yard.ts";

/** Every box of a cluster carries all of its websites. */
export function planBox(yard: Yard, cluster: ClusterId): BoxSpec {
  return {
    cluster,
    git: planGitSource(yard),
    caches: yard.withRole("cache", cluster).map(addressOf),
    websites: yard.websites(cluster).map((website) => planWebsite(yard, website)),
  };
}

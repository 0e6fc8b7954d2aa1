import { timestamp } from "#base/clock.ts";
import type { Push } from "#contract/push.ts";

/** A push of website s1's first commit, accepted just now, but for what is told. */
export function pushWith(told: Partial<Push> & Pick<Push, "id">): Push {
  const usual = { website: "s1", branch: "main", commit: "a".repeat(40), previous: null, server: "git1", needsBuild: false };
  return { ...usual, acceptedAt: timestamp(), ...told };
}

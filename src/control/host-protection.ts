import { type ServerStatus, UNPROTECTED_FACT } from "#contract/status.ts";
import type { ControlFabric } from "#fabric/fabric.ts";

/** What is wrong with the machine under the servers, by what they say of it. */
export function hostProtection(fabric: Pick<ControlFabric, "registry">): { troubles(): string[] } {
  return { troubles: () => describeUnprotected(fabric.registry().values()) };
}

/** One line when the kernel under these servers leaves links unprotected; servers of one host all say the same. */
export function describeUnprotected(statuses: Iterable<Pick<ServerStatus, "server" | "facts">>): string[] {
  const off = [...statuses].filter(({ facts }) => (facts[UNPROTECTED_FACT] ?? "") !== "").sort((a, b) => (a.server < b.server ? -1 : 1));
  const [first, ...others] = off;
  if (first === undefined) return [];
  const where = others.length === 0 ? first.server : `${first.server} and ${others.length} more`;
  return [
    `${String(first.facts[UNPROTECTED_FACT]).replaceAll(" ", ", ")} not fully on in the kernel under ${where}: links can be traps there (→ bin/up)`,
  ];
}

import type { Guard } from "../driver.ts";

/** What of an instance says whether it is guarded, as LXD and Incus answer. */
interface GuardedInstance {
  readonly config: Readonly<Record<string, string>>;
  readonly devices: Readonly<Record<string, Readonly<Record<string, string>>>>;
}

/** Settings of the instance's one network interface: the daemon's own packet filter on the host, out of the reach of root within. */
export function guardedNic(guard: Guard): Record<string, string> {
  return { "security.mac_filtering": "true", "security.ipv4_filtering": String(guard === "address") };
}

/** Settings of an instance without the daemon's socket: Incus calls what LXD calls devlxd the guest API. */
export function closedDoor(daemon: string): Record<string, string> {
  return { [daemon === "incus" ? "security.guestapi" : "security.devlxd"]: "false" };
}

/** The guard that an instance has, or null. */
export function guardOf({ config, devices }: GuardedInstance): Guard | null {
  const isClosed = config["security.devlxd"] === "false" || config["security.guestapi"] === "false";
  const nic = devices["eth0"] ?? {};
  if (!isClosed || nic["security.mac_filtering"] !== "true") return null;
  return nic["security.ipv4_filtering"] === "true" ? "address" : "hardware";
}

import type { ClusterId, Role } from "#contract/names.ts";
import type { PlannedServer, PlannedWebsite, YardRows } from "./rows.ts";

/** Ports that servers of a yard use among each other. */
export const PORTS = { mariadb: 3306, memcached: 11211, pack: 8440 } as const;

/** The rows with the questions that the roles' planners ask; every list is in a fixed order. */
export class Yard {
  readonly rows: YardRows;
  readonly #servers: readonly PlannedServer[];
  readonly #websites: readonly PlannedWebsite[];

  constructor(rows: YardRows) {
    this.rows = rows;
    this.#servers = [...rows.servers].sort((a, b) => compareIds(a.name, b.name));
    this.#websites = [...rows.websites].sort((a, b) => compareIds(a.id, b.id));
  }

  /** Servers that have or keep a spec. */
  servers(): readonly PlannedServer[] {
    return this.#servers.filter((server) => server.state !== "deleting");
  }

  /** Servers that take part: a leaving one is not counted on any more. */
  withRole(role: Role, cluster: ClusterId | null = null): readonly PlannedServer[] {
    return this.#servers.filter((server) => server.state === "present" && server.cluster === cluster && server.roles.includes(role));
  }

  /** Those of them that visitors are sent to. */
  inRotation(role: "box" | "cache", cluster: ClusterId): readonly PlannedServer[] {
    return this.withRole(role, cluster).filter((server) => server.fence === null);
  }

  /** The servers on which a cluster's websites lie. */
  carriers(cluster: ClusterId): readonly PlannedServer[] {
    return [...this.withRole("box", cluster), ...this.withRole("shell", cluster)];
  }

  websites(cluster?: ClusterId): readonly PlannedWebsite[] {
    return cluster === undefined ? this.#websites : this.#websites.filter((website) => website.cluster === cluster);
  }
}

/** c2 before c10: by letters, then by number. */
export function compareIds(a: string, b: string): number {
  return a.localeCompare(b, "en", { numeric: true });
}

export function nameAndAddress({ name, address }: PlannedServer): { name: string; address: string } {
  return { name, address };
}

export function addressOf({ address }: PlannedServer): string {
  return address;
}

import type { ClusterId, Role, ServerName } from "#contract/names.ts";

/** A server as waves see it. */
export interface WaveServer {
  readonly name: ServerName;
  readonly roles: readonly Role[];
  readonly cluster: ClusterId | null;
  /** Whether it has something to restart. */
  readonly isWaiting: boolean;
  /** Whether it is there and has the right time. */
  readonly isThere: boolean;
  /** Whether it is also without a fault, but for those that its restart may end. */
  readonly isWell: boolean;
  /** Whether visitors are sent to it, or would be. */
  readonly isInRotation: boolean;
}

/** A kind of server: what goes wrong on one would go wrong on each. */
export type Kind = string;

/** The kind of a server. */
export function kindOf({ roles }: Pick<WaveServer, "roles">): Kind {
  return roles.join("+");
}

/**
 * Who restarts next, all of them at the same time: of each kind one server first, and after it (`tried` has its kind) one of
 * each cluster. Never two of a kind in a cluster, and none while another of its kind in its cluster is not well. One that
 * has a fault itself may: the restart may be what it lacks.
 */
export function pickNext(servers: readonly WaveServer[], tried: ReadonlySet<Kind>): ServerName[] {
  const picked: WaveServer[] = [];
  for (const server of servers.filter(({ isWaiting, isThere }) => isWaiting && isThere).toSorted(byName)) {
    const kind = kindOf(server);
    const ofKind = picked.filter((one) => kindOf(one) === kind);
    const isFirst = !tried.has(kind);
    if ((isFirst && ofKind.length > 0) || ofKind.some(({ cluster }) => cluster === server.cluster)) continue;
    if (peersOf(server, servers).every(({ isWell, isInRotation }) => isWell && isInRotation)) picked.push(server);
  }
  return picked.map(({ name }) => name);
}

/** The others of its kind in its cluster, who serve while it does not. */
export function peersOf(server: WaveServer, servers: readonly WaveServer[]): WaveServer[] {
  return servers.filter((one) => one.name !== server.name && one.cluster === server.cluster && kindOf(one) === kindOf(server));
}

function byName(one: WaveServer, other: WaveServer): number {
  return one.name < other.name ? -1 : 1;
}

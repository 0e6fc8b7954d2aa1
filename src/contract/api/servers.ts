import { z } from "zod";
import { Address, ClusterId, Role, ServerName, Timestamp, WebsiteId } from "../names.ts";
import { ServerStatus } from "../status.ts";
import { none, route } from "./route.ts";

/**
 * `creating` until its first heartbeat, `ready` when converged, `converging` when behind its target, `failed` with faults,
 * `unreachable` when silent, `fenced` when visitors are not sent to it though nothing else is wrong.
 */
const ServerState = z.enum(["creating", "converging", "ready", "failed", "unreachable", "fenced", "deleting"]);
export const Server = z.object({
  name: ServerName,
  roles: z.array(Role),
  cluster: ClusterId.nullable(),
  address: Address,
  state: ServerState,
  /** Why it is not ready, in words; null when it is. */
  reason: z.string().nullable(),
  generation: z.int(),
  targetGeneration: z.int(),
  /** Units that it restarts for a change when it is its turn; until then it serves as before. */
  restarts: z.array(z.string()).default([]),
});
export type Server = z.infer<typeof Server>;

const ofServer = z.object({ server: ServerName });

export const serverRoutes = {
  listServers: route({
    method: "GET",
    path: "/v1/servers",
    summary: "All servers",
    params: none,
    input: none,
    output: z.array(Server),
    isOpen: true,
  }),
  findServers: route({
    method: "GET",
    path: "/v1/servers/found",
    summary: "Servers of a target, with what is known of them",
    params: none,
    input: z.object({ target: z.string().max(2_000).default("") }),
    /** `heardSince`: since when heartbeats have come without a gap. */
    output: z.array(
      Server.extend({
        websites: z.array(WebsiteId),
        facts: ServerStatus.shape.facts,
        heardAt: Timestamp.nullable(),
        heardSince: Timestamp.nullable(),
      }),
    ),
    isOpen: true,
  }),
  revokeServer: route({
    method: "POST",
    path: "/v1/servers/{server}/revoke",
    summary: "Cut a server off from the bus at once: its credentials count no more",
    params: ofServer,
    input: none,
    output: z.object({ server: ServerName }),
  }),
  readmitServer: route({
    method: "POST",
    path: "/v1/servers/{server}/readmit",
    summary: "Give a server that was cut off new credentials, through the cloud",
    params: ofServer,
    input: none,
    output: z.object({ server: ServerName }),
  }),
  renewServer: route({
    method: "POST",
    path: "/v1/servers/{server}/renew",
    summary: "Let a server change to a new key for the bus, without a gap",
    params: ofServer,
    input: none,
    output: z.object({ server: ServerName }),
  }),
} as const;

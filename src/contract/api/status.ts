import { z } from "zod";
import { Address, ServerName, YardName } from "../names.ts";
import { none, route } from "./route.ts";

/** `behind`: it has not all yet that is stored; `joining`: it is no part of the bus yet. */
export const BrokerState = z.object({
  server: ServerName,
  address: Address,
  state: z.enum(["ready", "behind", "away", "joining"]),
  /** Streams of which it accepts what is new; "brokers": of the list of streams. */
  leads: z.array(z.string()),
  /** Entries. */
  behindBy: z.int(),
});
export type BrokerState = z.infer<typeof BrokerState>;

/** A control server: it `leads`, could take over (`stands by`), or neither. */
export const ControlState = z.object({ server: ServerName, address: Address, state: z.enum(["leads", "stands by", "away"]) });
export type ControlState = z.infer<typeof ControlState>;

export const YardStatus = z.object({
  yard: YardName,
  control: z.object({ url: z.string(), version: z.string(), servers: z.array(ControlState) }),
  edge: z.object({ address: Address.nullable() }),
  git: z.object({ address: Address.nullable(), hostKey: z.string() }),
  servers: z.object({ total: z.int(), ready: z.int() }),
  brokers: z.array(BrokerState),
  clusters: z.int(),
  websites: z.int(),
  /** What is wrong, a line each: servers, what control cannot do, what websites have done to themselves. Empty when all is well. */
  troubles: z.array(z.string()),
});
export type YardStatus = z.infer<typeof YardStatus>;

export const statusRoutes = {
  status: route({
    method: "GET",
    path: "/v1/status",
    summary: "The yard at a glance",
    params: none,
    input: none,
    output: YardStatus,
    isOpen: true,
  }),
} as const;

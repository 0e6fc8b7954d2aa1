import { z } from "zod";
import { Address, ServerName, YardName } from "../names.ts";
import { Policy } from "../policy.ts";
import { BoxSpec } from "./box.ts";
import { BrokerSpec } from "./broker.ts";
import { BuilderSpec } from "./builder.ts";
import { CacheSpec } from "./cache.ts";
import { ControlSpec } from "./control.ts";
import { DatabaseSpec } from "./database.ts";
import { EdgeSpec } from "./edge.ts";
import { GitSpec } from "./git.ts";
import { ShellSpec } from "./shell.ts";

/** What each role of a server should be; a role that is absent is not carried. */
export const RoleSpecs = z.object({
  control: ControlSpec.optional(),
  edge: EdgeSpec.optional(),
  cache: CacheSpec.optional(),
  box: BoxSpec.optional(),
  shell: ShellSpec.optional(),
  git: GitSpec.optional(),
  database: DatabaseSpec.optional(),
  builder: BuilderSpec.optional(),
  broker: BrokerSpec.optional(),
});
export type RoleSpecs = z.infer<typeof RoleSpecs>;

/** Everything one server should be, without its generation: what the planner makes. */
export const ServerPlan = z.object({
  yard: YardName,
  server: ServerName,
  address: Address,
  /** Every server of the yard that this one talks to, for its /etc/hosts. */
  neighbours: z.array(z.object({ name: ServerName, address: Address })),
  roles: RoleSpecs,
  /** All brokers of the bus, for example tls://10.77.0.2:4222; none are told of when there is no news of them. */
  brokers: z.array(z.string()).default([]),
  /** Who may ask this server for what; control has judged already, and the server judges again. */
  policy: Policy.default({}),
});
export type ServerPlan = z.infer<typeof ServerPlan>;

/** A plan as delivered: `generation` rises by one with every change of the rest. */
export const ServerSpec = ServerPlan.extend({ generation: z.int().positive() });
export type ServerSpec = z.infer<typeof ServerSpec>;

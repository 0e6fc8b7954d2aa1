import { z } from "zod";
import { Address, DatabaseName } from "../names.ts";
import { secret } from "../secret.ts";

/** The most that one address of a user may have; what holds when a spec does not say, as an earlier control's. */
export const CONNECTIONS_PER_CLIENT = 40;

/** A MariaDB server with the databases it carries. */
export const DatabaseSpec = z.object({
  port: z.int(),
  /** Databases with their users; `clients` are the only addresses a user may connect from, from each with so many connections at most. */
  databases: z.array(
    z.object({
      name: DatabaseName,
      user: DatabaseName,
      password: secret(z.string()),
      clients: z.array(Address),
      connections: z.int().positive().default(CONNECTIONS_PER_CLIENT),
    }),
  ),
});
export type DatabaseSpec = z.infer<typeof DatabaseSpec>;

import { z } from "zod";
import { Address, DatabaseName } from "../names.ts";
import { secret } from "../secret.ts";

/** A MariaDB server with the databases it carries. */
export const DatabaseSpec = z.object({
  port: z.int(),
  /** Databases with their users; `clients` are the only addresses a user may connect from. */
  databases: z.array(z.object({ name: DatabaseName, user: DatabaseName, password: secret(z.string()), clients: z.array(Address) })),
});
export type DatabaseSpec = z.infer<typeof DatabaseSpec>;

import type { DatabaseSpec } from "#contract/spec/database.ts";
import { addressOf, compareIds, PORTS, type Yard } from "./yard.ts";

/** The database server has every website's databases, open to that website's servers only. */
export function planDatabase(yard: Yard): DatabaseSpec {
  const databases = yard.websites().flatMap((website) =>
    website.databases.map(({ name, password }) => ({
      name,
      user: name,
      password,
      clients: yard.carriers(website.cluster).map(addressOf),
    })),
  );
  return { port: PORTS.mariadb, databases: databases.sort((a, b) => compareIds(a.name, b.name)) };
}

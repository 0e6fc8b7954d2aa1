import { CONNECTIONS_PER_CLIENT, type DatabaseSpec } from "#contract/spec/database.ts";
import { addressOf, compareIds, PORTS, type Yard } from "./yard.ts";

/** Of MariaDB's 300 connections a website gets a third, spread over its users; on each server at least what its processes need there. */
const CONNECTIONS_OF_A_WEBSITE = 100;
const CONNECTIONS_NEEDED = 10;
/** Where a website has very many servers, that gives way, up to two thirds; one connection each user always has. */
const MOST_CONNECTIONS_OF_A_WEBSITE = 200;

/** The database server has every website's databases, open to that website's servers only. */
export function planDatabase(yard: Yard): DatabaseSpec {
  const databases = yard.websites().flatMap((website) => {
    const clients = yard.carriers(website.cluster).map(addressOf);
    const connections = connectionsPerUser(clients.length * website.databases.length);
    return website.databases.map(({ name, password }) => ({ name, user: name, password, clients, connections }));
  });
  return { port: PORTS.mariadb, databases: databases.sort((a, b) => compareIds(a.name, b.name)) };
}

/** MariaDB counts for each user of each address by itself. */
function connectionsPerUser(users: number): number {
  const share = (total: number): number => Math.floor(total / users);
  const needed = Math.min(CONNECTIONS_NEEDED, share(MOST_CONNECTIONS_OF_A_WEBSITE));
  return Math.min(CONNECTIONS_PER_CLIENT, Math.max(share(CONNECTIONS_OF_A_WEBSITE), needed, 1));
}

import { configuration } from "../converge/configuration.ts";
import type { Resource } from "../converge/resource.ts";
import { CA_FILE } from "./snippets/website-facts.ts";

/** What MariaDB's own programs go by: they connect to no server but the yard's. */
export const MARIADB_CLIENT = `# Written by Boxyard.
[client]
ssl-ca = ${CA_FILE}
ssl-verify-server-cert
`;

/** The yard's authority in the system's store: WordPress can ask for TLS to its database, but not name an authority for it. */
export function systemAuthorities(caPem: string): Resource {
  return configuration({
    id: "system authorities",
    files: [
      { path: "/usr/local/share/ca-certificates/boxyard.crt", content: caPem },
      { path: "/etc/mysql/conf.d/boxyard.cnf", content: MARIADB_CLIENT },
    ],
    check: null,
    activate: [["update-ca-certificates"]],
  });
}

import { configuration } from "../converge/configuration.ts";
import type { Resource } from "../converge/resource.ts";
import { CA_FILE } from "./snippets/website-facts.ts";

/** What MariaDB's own programs go by: they connect to no server but the yard's. */
export const MARIADB_CLIENT = `# Written by Boxyard.
[client]
ssl-ca = ${CA_FILE}
ssl-verify-server-cert
`;

/** Where OpenSSL looks for authorities: each has a link there that is named by its subject's hash. */
const AUTHORITIES = "/etc/ssl/certs";
const AUTHORITY = "/usr/local/share/ca-certificates/boxyard.crt";

/**
 * The yard's authority in the system's store: WordPress can ask for TLS to its database, but not name an authority for it. The
 * links alone are made: `update-ca-certificates` takes a hundred times as long, and adds it to the bundle with Debian's next ones.
 */
export function systemAuthorities(caPem: string): Resource {
  return configuration({
    id: "system authorities",
    files: [
      { path: AUTHORITY, content: caPem },
      { path: "/etc/mysql/conf.d/boxyard.cnf", content: MARIADB_CLIENT },
    ],
    check: null,
    activate: [
      ["ln", "-sf", AUTHORITY, `${AUTHORITIES}/boxyard.pem`],
      ["openssl", "rehash", AUTHORITIES],
    ],
  });
}

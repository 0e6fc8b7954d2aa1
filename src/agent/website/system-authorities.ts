import { configuration } from "../converge/configuration.ts";
import type { Resource } from "../converge/resource.ts";

/** The yard's authority in the system's store: WordPress can ask for TLS to its database, but not name an authority for it. */
export function systemAuthorities(caPem: string): Resource {
  return configuration({
    id: "system authorities",
    files: [
      { path: "/usr/local/share/ca-certificates/boxyard.crt", content: caPem },
      {
        path: "/etc/mysql/conf.d/boxyard.cnf",
        content: "# Written by Boxyard.\n[client]\nssl-ca = /etc/boxyard/ca.pem\nssl-verify-server-cert\n",
      },
    ],
    check: null,
    activate: [["update-ca-certificates"]],
  });
}

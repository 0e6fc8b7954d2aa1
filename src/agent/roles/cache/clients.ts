import type { NftTableWant } from "../../converge/nft-table.ts";

/** Where nft(8) finds the rules, before memcached starts. */
export const CLIENTS = "/etc/boxyard/memcached-clients.nft";

/** With systemd's full rights: memcached itself has none on the network's rules. It does not start without them. */
export const CLIENTS_DROP_IN = {
  path: "/etc/systemd/system/memcached.service.d/boxyard.conf",
  content: `# Written by Boxyard.
[Service]
ExecStartPre=+/usr/sbin/nft -f ${CLIENTS}
`,
};

export const CLIENTS_TABLE = { table: "boxyard_memcached", file: CLIENTS } as const satisfies NftTableWant;

const TABLE = `table inet ${CLIENTS_TABLE.table}`;

/**
 * Rules of nft(8): memcached, which asks nobody for a password, answers its own cluster's servers alone. They replace the
 * former ones in one step; a box that leaves keeps the connections that its last requests use.
 */
export function memcachedClients(addresses: readonly string[]): string {
  const clients = addresses.length === 0 ? [] : [`ip saddr { ${[...addresses].sort().join(", ")} } accept`];
  const rules = ["tcp dport != 11211 accept", 'iifname "lo" accept', "ct state established accept", ...clients, "reject with tcp reset"];
  return `# Written by Boxyard.
${TABLE}
delete ${TABLE}
${TABLE} {
  chain input {
    type filter hook input priority 0; policy accept;
    meta l4proto != tcp accept
    ${rules.join("\n    ")}
  }
}
`;
}

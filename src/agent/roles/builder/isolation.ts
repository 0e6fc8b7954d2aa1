import { lookup } from "node:dns/promises";

/** What is nobody's on the internet and so may be the operator's, the host's, another yard's, or of no single server. */
const INTERNAL = [
  ...["0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24"],
  ...["192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"],
];
const INTERNAL_6 = ["::/127", "::ffff:0:0/96", "64:ff9b:1::/48", "2001:db8::/32", "fc00::/7", "fe80::/10", "ff00::/8"];

/** A place that may be reached wherever it is. */
export interface Place {
  readonly address: string;
  readonly port: number;
}

export interface IsolationOptions {
  readonly uid: number;
  /** The yard's network, which tells names. */
  readonly network: string;
  readonly allowed: readonly Place[];
}

/** Rules of nft(8): an account reaches the internet and these places, and of the yard's network names alone. */
export function isolation({ uid, network, allowed }: IsolationOptions): string {
  const table = "table inet boxyard_build";
  const places = allowed.map(
    ({ address, port }) => `meta skuid ${uid} ${address.includes(":") ? "ip6" : "ip"} daddr ${address} tcp dport ${port} accept`,
  );
  const rules = [
    `meta skuid ${uid} oifname "lo" accept`,
    `meta skuid ${uid} ip daddr ${network} udp dport 53 accept`,
    `meta skuid ${uid} ip daddr ${network} tcp dport 53 accept`,
    ...places,
    `meta skuid ${uid} ip daddr { ${INTERNAL.join(", ")}, ${network} } reject`,
    `meta skuid ${uid} ip6 daddr { ${INTERNAL_6.join(", ")} } reject`,
  ];
  return `${table}
delete ${table}
${table} {
  chain output {
    type filter hook output priority 0; policy accept;
    ${rules.join("\n    ")}
  }
}
`;
}

/** Where the registries and proxies are that an npm configuration names; what has no address now cannot be reached either. */
export async function placesOf(npmrc: string): Promise<Place[]> {
  const named = npmrc.split("\n").flatMap((line) => {
    const [, scheme = "https:", host = "", port] =
      /^[^;#]*?(https?:)?\/\/(?:[^\s/@]+@)?([\w.-]+|\[[\da-f:]+\])(?::(\d+))?(?:\/|"|\s|$)/i.exec(line) ?? [];
    if (host === "") return [];
    return [{ host: host.replaceAll(/[[\]]/g, ""), port: Number(port ?? (scheme.toLowerCase() === "http:" ? 80 : 443)) }];
  });
  const places = await Promise.all(
    named.map(async ({ host, port }) => (await lookup(host, { all: true }).catch(() => [])).map(({ address }) => ({ address, port }))),
  );
  const all = places.flat();
  return all.filter((one, index) => all.findIndex(({ address, port }) => address === one.address && port === one.port) === index);
}

/** Rules of nft(8): an account reaches what is outside of the yard, and of the yard's network names alone. */
export function isolation(network: string, uid: number): string {
  const table = "table inet boxyard_build";
  return `${table}
delete ${table}
${table} {
  chain output {
    type filter hook output priority 0; policy accept;
    meta skuid ${uid} ip daddr ${network} udp dport 53 accept
    meta skuid ${uid} ip daddr ${network} tcp dport 53 accept
    meta skuid ${uid} ip daddr ${network} reject
    meta skuid ${uid} ip daddr 169.254.0.0/16 reject
    meta skuid ${uid} ip6 daddr { fe80::/10, fc00::/7 } reject
  }
}
`;
}

import type { ServerFile } from "./driver.ts";

/** What a server needs to be on the yard's network from its first boot: name, fixed address, route, resolver. */
export function bootFiles(server: {
  readonly name: string;
  readonly address: string;
  readonly prefixLength: number;
  readonly gateway: string;
}): ServerFile[] {
  const { name, address, prefixLength, gateway } = server;
  const network = [
    "[Match]",
    "Name=eth0",
    "",
    "[Network]",
    `Address=${address}/${prefixLength}`,
    `Gateway=${gateway}`,
    "IPv6AcceptRA=no",
    "LinkLocalAddressing=no",
    "",
  ];
  return [
    { path: "/etc/hostname", content: `${name}\n` },
    { path: "/etc/systemd/network/10-eth0.network", content: network.join("\n") },
    { path: "/etc/resolv.conf", content: `nameserver ${gateway}\n` },
  ];
}

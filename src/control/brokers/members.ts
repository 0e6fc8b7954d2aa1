import { readFile } from "node:fs/promises";
import { writeFileAtomic } from "#base/atomic-file.ts";
import { BUS_MEMBERS_PATH, BusMembers, type ControlConfig } from "#contract/control-config.ts";
import type { BrokerCluster } from "#contract/spec/broker.ts";
import { API_PORT, BROKER_PORT, ROUTE_PORT } from "../ports.ts";
import type { Secrets } from "../secrets.ts";

/** A server with a broker. */
export type BusMember = BusMembers[number];

/** The control servers that the yard should have, whichever of them asks; their addresses are below those that others get. */
export function controlServers({ subnet, replicas }: Pick<ControlConfig, "subnet" | "replicas">): BusMember[] {
  const addressOf = (nth: number): string => subnet.replace(/\d+\/\d+$/, String(nth + 1));
  return [1, 2, 3].slice(0, replicas).map((nth) => ({ name: `control${nth}`, address: addressOf(nth) }));
}

/** The servers whose brokers are the bus at present. */
export async function readBusMembers({ server, address }: ControlConfig): Promise<BusMember[]> {
  const text = await readFile(BUS_MEMBERS_PATH, "utf8").catch(() => null);
  return text === null ? [{ name: server, address }] : BusMembers.parse(JSON.parse(text));
}

export async function writeBusMembers(members: readonly BusMember[]): Promise<void> {
  await writeFileAtomic(BUS_MEMBERS_PATH, JSON.stringify(members));
}

/** Where clients find these brokers. */
export function brokerUrls(members: readonly BusMember[]): string[] {
  return members.map(({ address }) => `tls://${address}:${BROKER_PORT}`);
}

/** Where the control API may be: on each of the control servers. */
export function controlUrls(config: ControlConfig): string[] {
  return controlServers(config).map(({ address }) => `https://${address}:${API_PORT}`);
}

/** What brokers need to know to be one bus; null when there is to be one alone. */
export function clusterOf(config: ControlConfig, { broker }: Pick<Secrets, "broker">): BrokerCluster | null {
  const members = controlServers(config);
  return members.length === 1 ? null : { name: config.yard, port: ROUTE_PORT, password: broker.password, members };
}

import { rm } from "node:fs/promises";
import type { Log } from "#base/log.ts";
import { until } from "#base/retry.ts";
import { run } from "#base/run.ts";
import { ETCD_PEER_PORT, ETCD_PORT } from "../ports.ts";
import { ensureFiles, isThere } from "./file.ts";
import { ETCD_DATA, ETCD_KEY, etcdFiles, PEER_AUTHORITY, PEER_CERTIFICATE, type ReplicaOptions } from "./replica-files.ts";
import { ensureUnit, STOP_MS } from "./unit.ts";

const ETCD_UNIT = "etcd.service";
/** There as soon as this etcd is one of three; etcd makes it in one step. */
const LOG_OF_THREE = `${ETCD_DATA}/member/wal`;
const OTHERS_MS = 180_000;
const ADD_MS = 60_000;

/** This server's etcd runs, as one of three; in place of the one that was here before when that one's disk is lost. */
export async function ensureEtcd(options: ReplicaOptions, log: Log): Promise<void> {
  if (options.rejoins && !(await isThere(LOG_OF_THREE))) await takePlace(options, log);
  await ensureUnit(ETCD_UNIT, { hasChanged: await ensureFiles(etcdFiles(options)), takeUp: "restart" });
}

/** What etcd's majority answers this server. */
export function askEtcd(options: ReplicaOptions, ...args: string[]): Promise<string> {
  return etcdctl([options.address], ...args);
}

/**
 * The others forget the etcd that was here and expect a new one: with its data it has forgotten what it promised, and must not
 * vote as the same. Only while both others are well. Broken off, it begins again.
 */
async function takePlace(options: ReplicaOptions, log: Log): Promise<void> {
  const { server, address } = options;
  const others = options.members.filter(({ name }) => name !== server).map((other) => other.address);
  const peer = `https://${address}:${ETCD_PEER_PORT}`;
  const find = async (): Promise<string | null> => findMember(await etcdctl(others, "member", "list"), peer);
  await run(["systemctl", "stop", ETCD_UNIT], { timeoutMs: STOP_MS });
  await rm(ETCD_DATA, { recursive: true, force: true });
  await until("etcd on both other control servers", () => etcdctl(others, "endpoint", "health"), { timeoutMs: OTHERS_MS });
  const lost = await find();
  if (lost !== null) await etcdctl(others, "member", "remove", lost);
  // They take a new one only when they have been in touch with each other for some seconds.
  const add = async (): Promise<string> => (await find()) ?? (await etcdctl(others, "member", "add", server, `--peer-urls=${peer}`));
  await until("the other control servers to expect this etcd", add, { timeoutMs: ADD_MS, everyMs: 1_000 });
  log.info({ server, lost }, "etcd begins anew in place of the one that is lost");
}

/** The id of the member at this address in what `etcdctl member list` tells: id, status, name, peer's and client's addresses. */
export function findMember(list: string, peer: string): string | null {
  const members = list.split("\n").map((line) => line.split(", "));
  return members.find(([, , , at]) => at === peer)?.[0] ?? null;
}

async function etcdctl(addresses: readonly string[], ...args: string[]): Promise<string> {
  const endpoints = addresses.map((address) => `https://${address}:${ETCD_PORT}`).join(",");
  const tls = [`--cacert=${PEER_AUTHORITY}`, `--cert=${PEER_CERTIFICATE}`, `--key=${ETCD_KEY}`];
  const limits = ["--dial-timeout=2s", "--command-timeout=3s"];
  return (await run(["etcdctl", `--endpoints=${endpoints}`, ...tls, ...limits, ...args])).stdout.trim();
}

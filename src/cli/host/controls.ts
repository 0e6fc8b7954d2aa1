import { Fault } from "#base/fault.ts";
import { mapParallel } from "#base/parallel.ts";
import type { Argv } from "#base/run.ts";
import type { Cloud, ServerWant } from "#cloud/driver.ts";
import {
  BUS_MEMBERS_PATH,
  BusMembers,
  CONTROL_CONFIG_PATH,
  ControlConfig,
  type ControlReplicas,
  SECRETS_DIRECTORY,
  SECRETS_PATH,
} from "#contract/control-config.ts";
import { brokerRuns, CONTROL_SERVER } from "./brokers.ts";
import { listThree } from "./lost.ts";

const SETUP_MS = 300_000;

export interface ControlsWant {
  readonly cloud: Cloud;
  readonly replicas: ControlReplicas;
  /** What the others are copied from, and how control reaches the cloud. */
  readonly server: Pick<ServerWant, "template" | "proxies">;
  readonly note: (text: string) => void;
}

/**
 * Control works on one server, or stands on three and works on one of them. From one to three: the others get the yard's
 * secrets, then the first one's database is copied to them, while nobody works with it.
 */
export async function ensureControls({ cloud, replicas, server, note }: ControlsWant): Promise<void> {
  if (replicas === 1) return note("one");
  const members = BusMembers.parse(JSON.parse(await read(cloud, BUS_MEMBERS_PATH)));
  const names = members.map(({ name }) => name);
  const three = await listThree(cloud);
  const lost = three.length === 0 ? [] : members.filter(({ name }) => !three.includes(name));
  for (const member of lost) {
    note(`${member.name} is made anew, in place of one that is lost`);
    await rejoin(cloud, member, server);
  }
  if (!(await havePackages(cloud, names)))
    return note(`${CONTROL_SERVER} alone: servers of this yard's image have no etcd and Patroni (→ a new yard has)`);
  if (!(await isReplicated(cloud, names))) {
    note("the yard's secrets for two more servers");
    for (const { name, address } of members.slice(1))
      await prepare(cloud, { ...server, name, address, guard: "address", volumes: [], files: [] });
    note("the database moves from one server to three");
    await replicate(cloud, members);
  }
  note("three");
}

/** Control makes the server; the others have all that it needs to be one of three again. */
async function rejoin(cloud: Cloud, member: BusMembers[number], server: ControlsWant["server"]): Promise<void> {
  const { name, address } = member;
  await brokerRuns(cloud, name);
  await prepare(cloud, { ...server, name, address, guard: "address", volumes: [], files: [] });
  await configure(cloud, member, { rejoins: true });
  await must(cloud, name, ["systemctl", "restart", "boxyard-control-setup"]);
  await must(cloud, name, ["systemctl", "start", "boxyard-control"]);
}

async function isReplicated(cloud: Cloud, servers: readonly string[]): Promise<boolean> {
  const units = ["etcd", "patroni", "boxyard-control"];
  const states = await mapParallel(servers, servers.length, (server) => cloud.execute(server, ["systemctl", "is-active", ...units]));
  return states.every(({ stdout }) => stdout.trim() === units.map(() => "active").join("\n"));
}

/** Servers keep the image that they were made of. */
async function havePackages(cloud: Cloud, servers: readonly string[]): Promise<boolean> {
  const looks = await mapParallel(servers, servers.length, (server) => cloud.execute(server, ["which", "etcd", "patroni"]));
  return looks.every(({ exitCode }) => exitCode === 0);
}

/** All that the first one has, and the door to the cloud. */
async function prepare(cloud: Cloud, want: ServerWant): Promise<void> {
  const { name } = want;
  await cloud.ensureServer(want);
  await must(cloud, name, ["install", "-d", "-o", "boxyard", "-g", "boxyard", "-m", "700", SECRETS_DIRECTORY]);
  await cloud.writeFile(name, { path: SECRETS_PATH, mode: 0o600, content: await read(cloud, SECRETS_PATH) });
  await cloud.writeFile(name, { path: BUS_MEMBERS_PATH, content: await read(cloud, BUS_MEMBERS_PATH) });
}

/** With this the server is one of three, whose setups wait for each other. */
async function configure(cloud: Cloud, { name, address }: BusMembers[number], { rejoins }: Pick<ControlConfig, "rejoins">): Promise<void> {
  const config = ControlConfig.parse(JSON.parse(await read(cloud, CONTROL_CONFIG_PATH)));
  const content = JSON.stringify({ ...config, server: name, address, replicatedDatabase: true, rejoins }, null, 2);
  await cloud.writeFile(name, { path: CONTROL_CONFIG_PATH, mode: 0o600, content });
}

/** Broken off, it is begun again by the next bin/up: each step looks first. */
async function replicate(cloud: Cloud, members: BusMembers): Promise<void> {
  const onAll = (argv: Argv) => mapParallel(members, members.length, ({ name }) => must(cloud, name, argv));
  await must(cloud, CONTROL_SERVER, ["systemctl", "stop", "boxyard-control"]);
  try {
    for (const member of members) await configure(cloud, member, { rejoins: false });
    await onAll(["systemctl", "restart", "boxyard-control-setup"]);
  } finally {
    await onAll(["systemctl", "start", "boxyard-control"]);
  }
}

async function read(cloud: Cloud, path: string): Promise<string> {
  const bytes = await cloud.readFile(CONTROL_SERVER, path);
  if (bytes !== null) return new TextDecoder().decode(bytes);
  throw new Fault("yard.control-incomplete", `${CONTROL_SERVER} has no ${path}`, { next: "run bin/up again" });
}

async function must(cloud: Cloud, server: string, argv: Argv): Promise<void> {
  const { exitCode, stderr } = await cloud.execute(server, argv, { timeoutMs: SETUP_MS });
  if (exitCode === 0) return;
  const log: Argv = ["journalctl", "-u", "boxyard-control-setup", "-n", "10", "-o", "cat", "--no-pager"];
  const { stdout } = await cloud.execute(server, log);
  throw new Fault(
    "yard.control-incomplete",
    `${argv.join(" ")} on ${server} failed: ${stderr.trim()}; setup last said:\n${stdout.trim()}`,
    {
      next: "run bin/up again: it goes on where it stopped",
    },
  );
}

import { readFile } from "node:fs/promises";
import { ask, named, signalAgent } from "./requests.ts";
import { inServer, mustInServer, powerOff, readInServer, stop } from "./servers.ts";
import { eventually } from "./yard.ts";

const CUT =
  "table inet cut { chain in { type filter hook input priority 0; iif lo accept; drop; }; chain out { type filter hook output priority 0; oif lo accept; drop; }; }";
const PRELOADED = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";
const LIBRARY = "/usr/local/lib/libfaketime.so.1";
const DROP_IN = "/run/systemd/system/boxyard-agent.service.d/clock.conf";
const STORE = "/var/lib/boxyard/broker";

/** Kills a service's process, and gives when the one that systemd starts in its place began, in milliseconds. */
export async function killService(server: string, unit: string): Promise<number> {
  const show = async (property: string): Promise<string> =>
    (await readInServer(server, "systemctl", "show", "--timestamp=us", "--value", "-p", property, unit)).trim();
  const before = await show("MainPID");
  await mustInServer(server, "systemctl", "kill", "--kill-whom=main", "--signal=KILL", unit);
  await eventually(`${unit} to be started again`, async () => !["0", before].includes(await show("MainPID")));
  return millisOf(await show("ExecMainStartTimestamp"));
}

/** When a service's process began, in milliseconds. */
export async function serviceStartedAt(server: string, unit: string): Promise<number> {
  return millisOf(
    (await readInServer(server, "systemctl", "show", "--timestamp=us", "--value", "-p", "ExecMainStartTimestamp", unit)).trim(),
  );
}

/** "Wed 2026-11-25 20:05:11.123456 UTC". */
function millisOf(systemdTime: string): number {
  const [, day, time] = /(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d\.\d{3})\d* UTC$/.exec(systemdTime) ?? [];
  if (day === undefined) throw new Error(`no time of systemd: ${systemdTime}`);
  return Date.parse(`${day}T${time}Z`);
}

/** While the work goes on, nothing enters or leaves the server. */
export async function whileCutOff<T>(server: string, work: () => Promise<T>): Promise<T> {
  await mustInServer(server, "sh", "-c", `echo '${CUT}' | nft -f -`);
  try {
    return await work();
  } finally {
    await mustInServer(server, "nft", "delete", "table", "inet", "cut");
  }
}

/** While the work goes on, the agent of a server lives in another time; the kernel's clock is one for all containers. */
export async function withWrongClock<T>(server: string, seconds: number, work: () => Promise<T>): Promise<T> {
  const library = (await readFile(PRELOADED)).toString("base64");
  const written = await inServer(server, ["sh", "-c", `base64 -d > ${LIBRARY}`], library);
  if (written.exitCode !== 0) throw new Error(written.stderr);
  const offset = `${seconds < 0 ? "" : "+"}${seconds}`;
  const unit = `[Service]\nEnvironment=LD_PRELOAD=${LIBRARY} "FAKETIME=${offset}" FAKETIME_DONT_FAKE_MONOTONIC=1\n`;
  await mustInServer(server, "sh", "-c", `mkdir -p $(dirname ${DROP_IN}); printf '%s' '${unit}' > ${DROP_IN}`);
  await mustInServer(server, "sh", "-c", "systemctl daemon-reload && systemctl restart boxyard-agent");
  try {
    return await work();
  } finally {
    await mustInServer(server, "sh", "-c", `rm -f ${DROP_IN} ${LIBRARY}; systemctl daemon-reload && systemctl restart boxyard-agent`);
  }
}

/** While the work goes on, the releases of a website lie on a disk of their own on these servers, with some room. */
export async function onSmallDisk<T>(servers: readonly string[], website: string, work: () => Promise<T>): Promise<T> {
  const releases = releasesOf(website);
  const disk = `mkdir -p /root/disk && mount -t tmpfs -o size=$(( $(du -sm ${releases} | cut -f1) + 64 ))m tmpfs /root/disk`;
  // In place only when all is there: websites are served meanwhile.
  const move = `${disk} && cp -a ${releases}/. /root/disk/ && mount --bind /root/disk ${releases}`;
  const keep = `mkdir -p /root/below && mount --bind /srv/sites/${website} /root/below && cp -a --update=none ${releases}/. /root/below/releases/ && umount /root/below`;
  for (const server of servers) await mustInServer(server, "sh", "-c", move);
  try {
    return await work();
  } finally {
    for (const server of servers) await mustInServer(server, "sh", "-c", `${keep}; umount -l ${releases} && umount -l /root/disk`);
  }
}

/** While the work goes on, the small disks are full. */
export async function whileFull<T>(servers: readonly string[], website: string, work: () => Promise<T>): Promise<T> {
  const fill = `${releasesOf(website)}/fill`;
  for (const server of servers)
    await mustInServer(server, "sh", "-c", `mountpoint -q ${releasesOf(website)} && cat /dev/zero > ${fill}; true`);
  try {
    return await work();
  } finally {
    for (const server of servers) await mustInServer(server, "rm", "-f", fill);
  }
}

function releasesOf(website: string): string {
  return `/srv/sites/${website}/releases`;
}

/** The server's power goes; control starts it again by itself, be it while the work goes on. Ends when it answers again. */
export async function whilePoweredOff<T>(server: string, work: () => Promise<T>): Promise<T> {
  await powerOff(server);
  const result = await work();
  await eventually(`${server} to answer`, async () => named(await ask("server.ping", "--target", server)).join() === `${server} answers`);
  return result;
}

/** The server begins to shut down, and the work with it; control starts it again by itself. Ends when it answers again. */
export async function whileStopping<T>(server: string, work: () => Promise<T>): Promise<T> {
  const [result] = await Promise.all([work(), stop(server)]);
  await eventually(`${server} to answer`, async () => named(await ask("server.ping", "--target", server)).join() === `${server} answers`);
  return result;
}

/** While the work goes on, the agent's process stands still: its connections stay open, and nothing answers. */
export async function whileFrozen<T>(server: string, work: () => Promise<T>): Promise<T> {
  await signalAgent(server, "STOP");
  try {
    return await work();
  } finally {
    await signalAgent(server, "CONT");
  }
}

/** While the work goes on, the broker's disk has no room left; it keeps all that it had. */
export async function whileBrokerIsFull<T>(work: () => Promise<T>): Promise<T> {
  const move = (to: string) =>
    `cp -a ${STORE}/. /root/broker.kept/ && ${to} && cp -a /root/broker.kept/. ${STORE}/ && rm -rf /root/broker.kept`;
  const small = `mount -t tmpfs -o size=40m,mode=750,uid=$(id -u nats),gid=$(id -g nats) tmpfs ${STORE}`;
  const stopped = (how: string) =>
    `set -e; systemctl stop nats-server; mkdir -p /root/broker.kept; ${move(how)}; systemctl start nats-server`;
  await mustInServer("control1", "sh", "-c", stopped(small));
  try {
    await inServer("control1", ["dd", "if=/dev/zero", `of=${STORE}/fill`, "bs=1M", "count=100"]);
    return await work();
  } finally {
    await mustInServer("control1", "rm", "-f", `${STORE}/fill`);
  }
}

/** Puts the broker's files back on the server's own disk. */
export async function giveBrokerItsDisk(): Promise<void> {
  const back = `umount ${STORE} && rm -rf ${STORE}/jetstream ${STORE}/accounts`;
  const script = `set -e; mountpoint -q ${STORE} || exit 0; systemctl stop nats-server; mkdir -p /root/broker.kept; cp -a ${STORE}/. /root/broker.kept/; ${back}; cp -a /root/broker.kept/. ${STORE}/; rm -rf /root/broker.kept; systemctl start nats-server`;
  await mustInServer("control1", "sh", "-c", script);
}

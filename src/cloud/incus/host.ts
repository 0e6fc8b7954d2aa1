import { spawn } from "node:child_process";
import { access, mkdir, open, readFile, statfs } from "node:fs/promises";
import { isIPv4 } from "node:net";
import { networkInterfaces } from "node:os";
import { Fault, isFault } from "#base/fault.ts";
import { until } from "#base/retry.ts";
import { run } from "#base/run.ts";
import { ImageCache } from "../images/cache.ts";
import { recipeHash, serverRecipe } from "../images/recipe.ts";
import { Connection } from "./connection.ts";

/** The cloud daemon of this machine: LXD (Debian 12) or Incus (Debian 13 and later). */
export interface Daemon {
  readonly name: "lxd" | "incus";
  readonly packages: readonly string[];
  readonly socket: string;
  /** The command-line client, used only to import images. */
  readonly client: string;
  /** As Debian's package brings it, with its arguments. */
  readonly server: readonly [path: string, ...string[]];
  readonly stateDirectory: string;
}

const DAEMONS: Record<Daemon["name"], Daemon> = {
  lxd: {
    name: "lxd",
    packages: ["lxd", "lxd-client"],
    socket: "/var/lib/lxd/unix.socket",
    client: "lxc",
    server: ["/usr/bin/lxd", "--group", "root"],
    stateDirectory: "/var/lib/lxd",
  },
  incus: {
    name: "incus",
    packages: ["incus", "incus-client"],
    socket: "/var/lib/incus/unix.socket",
    client: "incus",
    server: ["/usr/libexec/incus/incusd", "--group", "root"],
    stateDirectory: "/var/lib/incus",
  },
};

/** What yards share on a machine. */
export const POOL = "boxyard";
const HTTPS_PORT = 8443;
// biome-ignore lint/suspicious/noTemplateCurlyInString: dpkg-query's own placeholders.
const DPKG_FORMAT = "-f=${Package} ${db:Status-Status}\n";
const HOST_PACKAGES = [
  "mmdebstrap",
  "btrfs-progs",
  "dnsmasq-base",
  "nftables",
  "zstd",
  "openssl",
  "openssh-client",
  "git",
  "debian-archive-keyring",
];

/** The daemon that this machine has, or should have by its release of Debian. */
export async function chooseDaemon(): Promise<Daemon> {
  for (const daemon of Object.values(DAEMONS)) if (await isDaemonInstalled(daemon)) return daemon;
  const release = /^VERSION_ID="?(\d+)/m.exec(await readFile("/etc/os-release", "utf8"))?.[1];
  return Number(release) <= 12 ? DAEMONS.lxd : DAEMONS.incus;
}

/** Installs what the host lacks; asks no registry when all is there. */
export async function ensureHostPackages(daemon: Daemon): Promise<void> {
  if (process.getuid?.() !== 0)
    throw new Fault("host.not-root", "bin/up sets up a cloud daemon and networks, which only root may", {
      next: "run it as root: sudo bin/up",
    });
  const wanted = [...daemon.packages, ...HOST_PACKAGES];
  const { stdout } = await run(["dpkg-query", "-W", DPKG_FORMAT, ...wanted], { acceptExitCodes: [0, 1] });
  const missing = wanted.filter((name) => !stdout.includes(`${name} installed\n`));
  if (missing.length === 0) return;
  const environment = { DEBIAN_FRONTEND: "noninteractive" };
  await run(["apt-get", "-qq", "update"], { timeoutMs: 300_000, environment });
  await run(["apt-get", "-qq", "install", "-y", "--no-install-recommends", ...missing], { timeoutMs: 900_000, environment });
}

/** The daemon runs and answers: by systemd where it is PID 1, by hand otherwise, so that it outlives this process. */
export async function ensureDaemon(daemon: Daemon): Promise<Connection> {
  const connection = new Connection({ socket: daemon.socket }, "default");
  if (await answers(connection)) return connection;
  if (await hasSystemd()) await run(["systemctl", "start", daemon.name], { timeoutMs: 120_000 });
  else await startByHand(daemon);
  await until(`${daemon.name} to answer`, async () => ((await answers(connection)) ? true : null), { timeoutMs: 120_000 });
  return connection;
}

/** One storage pool for all yards: btrfs in a sparse file, because it copies servers without copying their bytes. */
export async function ensurePool(connection: Connection, daemon: Daemon): Promise<void> {
  if ((await connection.find(`/1.0/storage-pools/${POOL}`)) !== null) return;
  const disk = await statfs(daemon.stateDirectory);
  const freeGibibytes = (disk.bavail * disk.bsize) / 2 ** 30;
  const size = `${Math.max(10, Math.min(500, Math.floor(freeGibibytes * 0.7)))}GiB`;
  await connection.call("/1.0/storage-pools", { method: "POST", body: { name: POOL, driver: "btrfs", config: { size } } });
}

/** The API also listens on loopback, for the yards' control servers; gives its URL and certificate. */
export async function ensureHttps(connection: Connection): Promise<{ url: string; certificatePem: string }> {
  const { config } = await connection.call<{ config: Record<string, string> }>("/1.0");
  const address = config["core.https_address"] || (await listenOnLoopback(connection));
  const port = /:(\d+)$/.exec(address)?.[1] ?? String(HTTPS_PORT);
  const host = address.replace(/:\d+$/, "");
  const { environment } = await connection.call<{ environment: { certificate: string } }>("/1.0");
  return { url: `https://${/^(|\[::\]|0\.0\.0\.0)$/.test(host) ? "127.0.0.1" : host}:${port}`, certificatePem: environment.certificate };
}

export interface ImageNotes {
  readonly onBuild: () => void;
  /** Called when another process of this machine builds or imports it. */
  readonly onWait: () => void;
}

/** The server image is imported under its recipe's hash; gives its alias. */
export async function ensureImage(connection: Connection, daemon: Daemon, { onBuild, onWait }: ImageNotes): Promise<string> {
  const alias = `boxyard-${recipeHash(serverRecipe)}`;
  const isImported = async (): Promise<boolean> => (await connection.find(`/1.0/images/aliases/${alias}`)) !== null;
  if (await isImported()) return alias;
  const cache = new ImageCache();
  const buildAndImport = async (): Promise<void> => {
    if (await isImported()) return;
    const { metadata, rootfs } = await cache.ensure(serverRecipe, onBuild);
    await run([daemon.client, "image", "import", metadata, rootfs, "--alias", alias], { timeoutMs: 600_000 });
  };
  await cache.hold(serverRecipe, buildAndImport, onWait);
  return alias;
}

/** A free 10.77.N.0/24, or the wanted subnet when no interface of the machine has it. */
export async function chooseSubnet(connection: Connection, wanted: string | undefined): Promise<string> {
  if (wanted !== undefined && !isSubnet(wanted))
    throw new Fault("host.bad-subnet", `${wanted} is not a network of 256 addresses`, {
      next: "give an address that ends in .0, and /24, for example --subnet 10.88.0.0/24",
    });
  const taken = await takenPrefixes(connection);
  if (wanted !== undefined) {
    if (!taken.has(prefixOf(wanted))) return wanted;
    throw new Fault("host.subnet-taken", `${wanted} is in use on this machine already`, {
      next: "choose another with --subnet, for example --subnet 10.88.0.0/24",
    });
  }
  for (let third = 0; third < 256; third++) if (!taken.has(`10.77.${third}.`)) return `10.77.${third}.0/24`;
  throw new Fault("host.no-subnet", "every 10.77.N.0/24 is in use on this machine", { next: "choose one with --subnet" });
}

function isSubnet(text: string): boolean {
  return text.endsWith(".0/24") && isIPv4(text.replace("/24", ""));
}

function prefixOf(subnet: string): string {
  return subnet.replace(/[^.]*$/, "");
}

async function takenPrefixes(connection: Connection): Promise<Set<string>> {
  const own = Object.values(networkInterfaces()).flatMap((addresses) => (addresses ?? []).map(({ address }) => prefixOf(address)));
  const networks = await connection.call<{ config: Record<string, string> }[]>("/1.0/networks", { query: { recursion: "1" } });
  return new Set([...own, ...networks.map(({ config }) => prefixOf((config["ipv4.address"] ?? "").replace(/\/.*/, "")))]);
}

async function listenOnLoopback(connection: Connection): Promise<string> {
  for (let port = HTTPS_PORT; port < HTTPS_PORT + 20; port++) {
    const address = `127.0.0.1:${port}`;
    try {
      await connection.call("/1.0", { method: "PATCH", body: { config: { "core.https_address": address } } });
      return address;
    } catch (thrown) {
      if (!isFault(thrown, "cloud.failed") || !/in use|bind|listen/i.test(thrown.message)) throw thrown;
    }
  }
  throw new Fault("host.no-port", `no free port from ${HTTPS_PORT} on for the cloud's API`);
}

async function startByHand(daemon: Daemon): Promise<void> {
  await mkdir(daemon.stateDirectory, { recursive: true });
  await mkdir("/var/log/boxyard", { recursive: true });
  const log = await open(`/var/log/boxyard/${daemon.name}.log`, "a");
  const [program, ...args] = daemon.server;
  // Detached and without our output: the daemon must not end with bin/up, nor hold its pipes open.
  spawn(program, args, { detached: true, stdio: ["ignore", log.fd, log.fd], cwd: "/" }).unref();
  await log.close();
}

async function answers(connection: Connection): Promise<boolean> {
  return connection.call("/1.0").then(
    () => true,
    () => false,
  );
}

async function hasSystemd(): Promise<boolean> {
  return isThere("/run/systemd/system");
}

/** Whether the daemon is on this machine at all. */
export function isDaemonInstalled(daemon: Daemon): Promise<boolean> {
  return isThere(daemon.server[0]);
}

async function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

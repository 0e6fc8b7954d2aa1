import { readFile } from "node:fs/promises";
import { execa } from "execa";
import { closedDoor } from "#cloud/incus/guard.ts";
import type { CommandResult } from "./yard.ts";
import { eventually, TEST_YARD } from "./yard.ts";

/** Runs a command in a server of the test yard through the cloud's own client; for faults that no product command may cause. */
export async function inServer(server: string, argv: readonly string[], input?: string): Promise<CommandResult> {
  const client = await cloudClient();
  const args = ["exec", "--project", `boxyard-${TEST_YARD}`, server, "--", ...argv];
  const result = await execa(client, args, {
    reject: false,
    timeout: 60_000,
    ...(input === undefined ? { stdin: "ignore" as const } : { input }),
  });
  return { exitCode: result.exitCode ?? -1, stdout: result.stdout, stderr: result.stderr };
}

/** The same, and the command must succeed. */
export async function mustInServer(server: string, ...argv: string[]): Promise<string> {
  const result = await inServer(server, argv);
  if (result.exitCode !== 0) throw new Error(`${argv.join(" ")} on ${server}: ${result.stderr}${result.stdout}`);
  return result.stdout;
}

/** What a command tells that may be asked any number of times: the cloud's client itself fails now and then on a busy machine. */
export function readInServer(server: string, ...argv: string[]): Promise<string> {
  return eventually(`${argv[0]} on ${server}`, async () => ({ said: await mustInServer(server, ...argv) }), 180_000).then(
    ({ said }) => said,
  );
}

/** Ends all of a server's processes at once. */
export async function powerOff(server: string): Promise<void> {
  await execa(await cloudClient(), ["stop", "--force", "--project", `boxyard-${TEST_YARD}`, server], { stdin: "ignore" });
}

/** All of a server's processes stand still until it is thawed, and know nothing of it. */
export async function freeze(server: string): Promise<void> {
  await execa(await cloudClient(), ["pause", "--project", `boxyard-${TEST_YARD}`, server], { stdin: "ignore" });
}

export async function thaw(server: string): Promise<void> {
  await execa(await cloudClient(), ["start", "--project", `boxyard-${TEST_YARD}`, server], { stdin: "ignore" });
}

/** The server is gone with all that was on it. */
export async function destroy(server: string): Promise<void> {
  await execa(await cloudClient(), ["delete", "--force", "--project", `boxyard-${TEST_YARD}`, server], { stdin: "ignore" });
}

/** The server is shut down as its operator would: its services end one after the other. */
export async function stop(server: string): Promise<void> {
  await execa(await cloudClient(), ["stop", "--timeout=60", "--project", `boxyard-${TEST_YARD}`, server], { stdin: "ignore" });
}

/** The server's first process, as the host sees it: its namespaces are the server's. */
export async function processIdOf(server: string): Promise<number> {
  const { stdout } = await execa(await cloudClient(), ["query", `/1.0/instances/${server}/state?project=boxyard-${TEST_YARD}`]);
  return (JSON.parse(stdout) as { pid: number }).pid;
}

/** What a server cannot pretend to its network, by the settings that the daemon has for it. */
export interface ServerGuard {
  readonly hasNoOtherHardware: boolean;
  readonly hasNoOtherAddress: boolean;
  /** Whether it has no door to the cloud's own API. */
  readonly isClosed: boolean;
}

export async function guardOfServer(server: string): Promise<ServerGuard> {
  const { stdout } = await execa(await cloudClient(), ["query", `/1.0/instances/${server}?project=boxyard-${TEST_YARD}`]);
  const { config, devices } = JSON.parse(stdout) as Record<"config", Record<string, string>> & {
    devices: { eth0: Record<string, string> };
  };
  const { eth0 } = devices;
  return {
    hasNoOtherHardware: eth0["security.mac_filtering"] === "true",
    hasNoOtherAddress: eth0["security.ipv4_filtering"] === "true",
    isClosed: [config["security.devlxd"], config["security.guestapi"]].includes("false"),
  };
}

/** The server's network interface is as one of an older Boxyard. */
export async function takeGuardFrom(server: string): Promise<void> {
  const settings = ["security.mac_filtering=false", "security.ipv4_filtering=false"];
  await execa(await cloudClient(), ["config", "device", "set", "--project", `boxyard-${TEST_YARD}`, server, "eth0", ...settings]);
}

/** Opens or closes the server's door to the cloud's own API at once, as an operator could by hand. */
export async function setDoor(server: string, { isOpen }: { readonly isOpen: boolean }): Promise<void> {
  const client = await cloudClient();
  const [setting = ""] = Object.keys(closedDoor(client.endsWith("/incus") ? "incus" : "lxd"));
  await execa(client, ["config", "set", "--project", `boxyard-${TEST_YARD}`, server, `${setting}=${isOpen}`]);
}

/** How many packets have come out of the server's network interface, as the host counts them before it judges them. */
export async function packetsFrom(server: string): Promise<number> {
  const { stdout } = await execa(await cloudClient(), ["query", `/1.0/instances/${server}/state?project=boxyard-${TEST_YARD}`]);
  const { network } = JSON.parse(stdout) as { network: { eth0: { host_name: string } } };
  return Number(await readFile(`/sys/class/net/${network.eth0.host_name}/statistics/rx_packets`, "utf8"));
}

/** The daemon loses the server image: the next yard imports it anew, and builds it when the cache has none. */
export async function forgetImage(): Promise<void> {
  const client = await cloudClient();
  const listed = await execa(client, ["image", "list", "--format=json"], { reject: false });
  if (listed.exitCode !== 0) return;
  const images = JSON.parse(listed.stdout) as { fingerprint: string; aliases: { name: string }[] }[];
  for (const { fingerprint, aliases } of images)
    if (aliases.some(({ name }) => name.startsWith("boxyard-"))) await execa(client, ["image", "delete", fingerprint]);
}

/** The client of the cloud daemon that this machine runs: lxc for LXD, incus for Incus. */
async function cloudClient(): Promise<string> {
  const found = await execa("sh", ["-c", "command -v incus || command -v lxc"]);
  return found.stdout;
}

import { X509Certificate } from "node:crypto";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Fault } from "#base/fault.ts";
import { until } from "#base/retry.ts";
import { type Argv, run } from "#base/run.ts";
import type { Cloud } from "../driver.ts";
import { incusCloud } from "./cloud.ts";
import type { Connection } from "./connection.ts";
import { closedDoor } from "./guard.ts";
import { type Daemon, POOL } from "./host.ts";

/** One name whatever the image, since a yard's control server is told it once. */
const TEMPLATE = "template-current";
const NEXT_TEMPLATE = "template-next";

/** Names of a yard's project and bridge; a bridge's name has at most 15 characters. */
export function yardCloudNames(yard: string): { readonly project: string; readonly network: string } {
  return { project: `boxyard-${yard}`, network: `by-${yard}` };
}

/** The yard's project, restricted to unprivileged containers on managed disks and networks, and its bridge. */
export async function ensureYardProject(connection: Connection, yard: string, gateway: string, prefixLength: number): Promise<void> {
  const { project, network } = yardCloudNames(yard);
  if ((await connection.find(`/1.0/networks/${network}`)) === null) {
    const config = { "ipv4.address": `${gateway}/${prefixLength}`, "ipv4.nat": "true", "ipv6.address": "none", "dns.mode": "none" };
    await connection.call("/1.0/networks", {
      method: "POST",
      body: { name: network, type: "bridge", description: `Boxyard yard ${yard}`, config },
    });
  }
  if ((await connection.find(`/1.0/projects/${project}`)) === null) {
    await connection.call("/1.0/projects", {
      method: "POST",
      body: { name: project, description: `Boxyard yard ${yard}`, config: projectConfig(network) },
    });
  }
}

/** Trusts the certificate for the yard's project only; makes one when there is none. */
export async function ensureYardCertificate(
  connection: Connection,
  yard: string,
  known: { certificatePem: string; keyPem: string } | undefined,
): Promise<{ certificatePem: string; keyPem: string }> {
  const pair = known ?? (await makeCertificate(`boxyard-${yard}`));
  const certificate = new X509Certificate(pair.certificatePem);
  const fingerprint = certificate.fingerprint256.replaceAll(":", "").toLowerCase();
  if ((await connection.find(`/1.0/certificates/${fingerprint}`)) === null) {
    const { project } = yardCloudNames(yard);
    const body = { type: "client", name: project, certificate: certificate.raw.toString("base64"), restricted: true, projects: [project] };
    await connection.call("/1.0/certificates", { method: "POST", body });
  }
  return pair;
}

/** The stopped, once-started server that all others are copied from, made anew when the image is another; gives its name. */
export async function ensureTemplate(connection: Connection, daemon: Daemon, yard: string, image: string): Promise<string> {
  const { project, network } = yardCloudNames(yard);
  const query = { project };
  const have = await connection.find<{ description: string }>(`/1.0/instances/${TEMPLATE}`, { query });
  if (have?.description === image) return TEMPLATE;
  const cloud = incusCloud({ endpoint: { socket: daemon.socket }, project, network, pool: POOL });
  await cloud.removeServer(NEXT_TEMPLATE);
  const devices = { root: { type: "disk", pool: POOL, path: "/" } };
  const source = { type: "image", alias: image };
  await connection.call("/1.0/instances", {
    method: "POST",
    query,
    body: { name: NEXT_TEMPLATE, source, devices, config: closedDoor(daemon.name) },
  });
  await cloud.startServer(NEXT_TEMPLATE);
  await until("the template to boot", () => hasBooted(cloud, NEXT_TEMPLATE), { timeoutMs: 60_000 });
  await forgetIdentity(cloud, NEXT_TEMPLATE);
  await cloud.stopServer(NEXT_TEMPLATE);
  await connection.call(`/1.0/instances/${NEXT_TEMPLATE}`, { method: "PATCH", query, body: { description: image } });
  await cloud.removeServer(TEMPLATE);
  await connection.call(`/1.0/instances/${NEXT_TEMPLATE}`, { method: "POST", query, body: { name: TEMPLATE } });
  return TEMPLATE;
}

async function hasBooted(cloud: Cloud, server: string): Promise<true | null> {
  const { stdout } = await cloud.execute(server, ["systemctl", "is-system-running", "--wait"]);
  // Before systemd itself is up, the answer is "offline" at once.
  return /^(running|degraded)$/.test(stdout.trim()) ? true : null;
}

/** What a boot has left that copies must not share. */
async function forgetIdentity(cloud: Cloud, server: string): Promise<void> {
  const commands: Argv[] = [
    // The journal of the shutdown itself stays in memory.
    ["journalctl", "--relinquish-var"],
    ["find", "/var/log/journal", "/var/cache/boxyard/node", "-mindepth", "1", "-delete"],
    ["find", "/etc/ssh", "-name", "ssh_host_*", "-delete"],
    ["truncate", "-s", "0", "/etc/machine-id"],
  ];
  for (const command of commands) {
    const { exitCode, stderr } = await cloud.execute(server, command);
    if (exitCode !== 0) throw new Fault("cloud.failed", `cannot make ${server} a template: ${command[0]}: ${stderr.trim()}`);
  }
}

/** Removes servers, volumes, project, bridge and trust of a yard; works on a yard that is only half there. */
export async function removeYard(connection: Connection, daemon: Daemon, yard: string): Promise<void> {
  const { project, network } = yardCloudNames(yard);
  await removeTrust(connection, project);
  if ((await connection.find(`/1.0/projects/${project}`)) !== null) {
    const cloud = incusCloud({ endpoint: { socket: daemon.socket }, project, network, pool: POOL });
    // What control had begun to create before it lost its rights is found by looking again.
    for (let left = await cloud.listServers(); left.length > 0; left = await cloud.listServers())
      for (const { name } of left) await cloud.removeServer(name);
    for (const volume of await cloud.listVolumes()) await cloud.removeVolume(volume);
    await connection.find(`/1.0/projects/${project}`, { method: "DELETE" });
  }
  await connection.find(`/1.0/networks/${network}`, { method: "DELETE" });
}

/** From here on the yard's control service cannot create again what is being removed. */
async function removeTrust(connection: Connection, project: string): Promise<void> {
  const certificates = await connection.call<{ name: string; fingerprint: string }[]>("/1.0/certificates", { query: { recursion: "1" } });
  for (const { name, fingerprint } of certificates)
    if (name === project) await connection.find(`/1.0/certificates/${fingerprint}`, { method: "DELETE" });
}

function projectConfig(network: string): Record<string, string> {
  return {
    "features.images": "false",
    "features.profiles": "true",
    "features.storage.volumes": "true",
    restricted: "true",
    "restricted.devices.disk": "managed",
    "restricted.devices.nic": "managed",
    "restricted.devices.proxy": "allow",
    "restricted.networks.access": network,
  };
}

async function makeCertificate(name: string): Promise<{ certificatePem: string; keyPem: string }> {
  const directory = await mkdtemp(join(tmpdir(), "boxyard-certificate-"));
  try {
    const [key, certificate] = [join(directory, "key.pem"), join(directory, "certificate.pem")];
    const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"];
    await run([
      "openssl",
      "req",
      "-x509",
      ...curve,
      "-nodes",
      "-days",
      "3650",
      "-subj",
      `/CN=${name}`,
      "-keyout",
      key,
      "-out",
      certificate,
    ]);
    return { certificatePem: await readFile(certificate, "utf8"), keyPem: await readFile(key, "utf8") };
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

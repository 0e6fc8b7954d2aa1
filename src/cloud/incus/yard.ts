import { X509Certificate } from "node:crypto";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { until } from "#base/retry.ts";
import { run } from "#base/run.ts";
import { incusCloud } from "./cloud.ts";
import type { Connection } from "./connection.ts";
import { type Daemon, POOL } from "./host.ts";

/** A yard's own part of the cloud: nothing in it is shared with another yard but the pool and the image. */
export interface YardCloud {
  readonly project: string;
  readonly network: string;
  /** Client certificate, restricted to the project, for the control server. */
  readonly certificatePem: string;
  readonly keyPem: string;
}

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

/** The stopped, once-started server that all others are copied from; gives its name. */
export async function ensureTemplate(connection: Connection, daemon: Daemon, yard: string, image: string): Promise<string> {
  const { project, network } = yardCloudNames(yard);
  const name = image.replace(/^boxyard-/, "template-");
  const query = { project };
  const have = await connection.find<{ status: string; description: string }>(`/1.0/instances/${name}`, { query });
  if (have?.description === "ready") return name;
  const cloud = incusCloud({ endpoint: { socket: daemon.socket }, project, network, pool: POOL });
  await cloud.removeServer(name);
  const devices = { root: { type: "disk", pool: POOL, path: "/" } };
  await connection.call("/1.0/instances", { method: "POST", query, body: { name, source: { type: "image", alias: image }, devices } });
  await cloud.startServer(name);
  await until(
    "the template to boot",
    async () => ((await cloud.execute(name, ["systemctl", "is-system-running", "--wait"])).stdout.trim() === "" ? null : true),
    { timeoutMs: 60_000 },
  );
  await cloud.execute(name, ["truncate", "-s", "0", "/etc/machine-id"]);
  await cloud.stopServer(name);
  await connection.call(`/1.0/instances/${name}`, { method: "PATCH", query, body: { description: "ready" } });
  return name;
}

/** Removes servers, volumes, project, bridge and trust of a yard; works on a yard that is only half there. */
export async function removeYard(connection: Connection, daemon: Daemon, yard: string): Promise<void> {
  const { project, network } = yardCloudNames(yard);
  if ((await connection.find(`/1.0/projects/${project}`)) !== null) {
    const cloud = incusCloud({ endpoint: { socket: daemon.socket }, project, network, pool: POOL });
    for (const { name } of await cloud.listServers()) await cloud.removeServer(name);
    for (const volume of await cloud.listVolumes()) await cloud.removeVolume(volume);
    await connection.find(`/1.0/projects/${project}`, { method: "DELETE" });
  }
  await connection.find(`/1.0/networks/${network}`, { method: "DELETE" });
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

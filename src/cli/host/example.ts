import { cp, mkdir, rm } from "node:fs/promises";

import { join, resolve } from "node:path";
import { Agent, request } from "undici";
import { Fault } from "#base/fault.ts";
import { until } from "#base/retry.ts";
import { run } from "#base/run.ts";
import { clusterRoutes } from "#contract/api/clusters.ts";
import { keyRoutes } from "#contract/api/keys.ts";
import type { YardStatus } from "#contract/api/status.ts";
import { type Website, websiteRoutes } from "#contract/api/websites.ts";
import type { Client } from "../client.ts";
import { clusterReady, websiteReady } from "../wait.ts";
import { ensureKnownHosts, ensurePersonalKey } from "./ssh.ts";
import { yardDirectory } from "./yard-state.ts";

const EXAMPLE = resolve(import.meta.dirname, "../../../examples/hello");

/** The example cluster: the yard's first, with two boxes, all its servers ready. */
export async function ensureExampleCluster(client: Client, note: (text: string) => void): Promise<string> {
  const clusters = await client.call(clusterRoutes.listClusters);
  const cluster = clusters[0] ?? (await client.call(clusterRoutes.createCluster, { input: { boxes: 2 } }));
  await clusterReady(client, cluster.id, { progress: note });
  note(cluster.id);
  return cluster.id;
}

/** The example website on the cluster, ready to be pushed to with the person's own key. */
export async function ensureExampleWebsite(client: Client, yard: string, cluster: string, note: (text: string) => void): Promise<Website> {
  const websites = await client.call(websiteRoutes.listWebsites);
  const website = websites[0] ?? (await client.call(websiteRoutes.createWebsite, { input: { cluster, domain: `www.${yard}.test` } }));
  const publicKey = await ensurePersonalKey();
  const keys = await client.call(keyRoutes.listKeys, { params: { website: website.id } });
  if (!keys.some((key) => key.publicKey.split(" ")[1] === publicKey.split(" ")[1])) {
    await client.call(keyRoutes.addKey, { params: { website: website.id }, input: { publicKey } });
  }
  return websiteReady(client, website.id, { progress: note });
}

/** Git and SSH on this machine trust the yard's git server. */
export async function ensureGitAccess(yard: string, { git }: YardStatus): Promise<void> {
  if (git.address !== null) await ensureKnownHosts(yard, [{ address: git.address, publicKey: git.hostKey }]);
}

/** Pushes the example with plain git, from a working copy that stays; does nothing when something is live already. */
export async function ensureExamplePushed(yard: string, website: Website, note: (text: string) => void): Promise<string> {
  const directory = join(yardDirectory(yard), "example");
  if (website.release !== null) return directory;
  await rm(directory, { recursive: true, force: true });
  await mkdir(directory, { recursive: true });
  await cp(EXAMPLE, directory, { recursive: true });
  const git = (...args: string[]) => run(["git", "-C", directory, ...args], { timeoutMs: 300_000 });
  await git("init", "-q", "-b", website.branch);
  // A fresh machine has nobody's name yet, and without one the newcomer's first commit would fail.
  await git("config", "user.name", "Boxyard");
  await git("config", "user.email", "boxyard@localhost");
  await git("remote", "add", "origin", website.gitUrl);
  await git("add", "-A");
  await git("commit", "-q", "-m", "The example website");
  const { stderr } = await git("push", "--set-upstream", "origin", website.branch);
  note(lastRemoteLine(stderr));
  return directory;
}

/** Fetches the website's front page through the edge over HTTPS, checking the certificate; gives what it says of itself. */
export async function fetchThroughEdge(
  website: Website,
  edgeAddress: string,
  caPem: string,
): Promise<{ url: string; status: number; release: string | null }> {
  const domain = website.domains.find(({ kind }) => kind === "main")?.name ?? "";
  const dispatcher = new Agent({ connect: { ca: caPem, servername: domain } });
  try {
    return await until(
      `https://${domain}/ through the edge`,
      async () => {
        const { statusCode, headers, body } = await request(`https://${edgeAddress}/`, { dispatcher, headers: { host: domain } });
        await body.dump();
        const release = headers["x-boxyard-release"];
        if (statusCode !== 200) throw new Fault("example.not-served", `https://${domain}/ answers ${statusCode}`);
        return { url: `https://${domain}/`, status: statusCode, release: typeof release === "string" ? release : null };
      },
      { timeoutMs: 20_000 },
    );
  } finally {
    await dispatcher.close();
  }
}

function lastRemoteLine(text: string): string {
  const lines = text.split("\n").filter((line) => line.startsWith("remote: "));
  return lines.at(-1)?.replace("remote: ", "").trim() ?? "";
}

import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative, resolve } from "node:path";
import { Fault } from "#base/fault.ts";
import type { Argv } from "#base/run.ts";
import { run } from "#base/run.ts";
import type { Cloud } from "#cloud/driver.ts";

const ROOT = resolve(import.meta.dirname, "../../..");
const RELEASES = "/opt/boxyard/releases";
/** What packages bring along for machines that no server is. */
const OTHER_MACHINES = ["*/prebuilds/[!l]*", "*/prebuilds/linux-arm64", "*/prebuilds/*.bare"];

/** Twelve digits that change with the code and with the locked packages. */
export async function runtimeHash(): Promise<string> {
  const hash = createHash("sha256");
  hash.update(await readFile(join(ROOT, "package-lock.json")));
  for (const path of await sourceFiles()) hash.update(path).update(await digest(join(ROOT, path)));
  return hash.digest("hex").slice(0, 12);
}

/** The code, the production packages and Node itself lie on the runtime volume and are current; gives whether they were not. */
export async function ensureRuntime(cloud: Cloud, server: string, hash: string): Promise<boolean> {
  const current = await cloud.execute(server, ["readlink", "/opt/boxyard/current"]);
  if (current.stdout.trim() === `releases/${hash}`) return false;
  const scratch = await mkdtemp(join(tmpdir(), "boxyard-runtime-"));
  try {
    const archive = join(scratch, "runtime.tar");
    await run(
      [
        "tar",
        "-C",
        ROOT,
        "-cf",
        archive,
        "--exclude=*.test.ts",
        ...OTHER_MACHINES.map((pattern) => `--exclude=${pattern}`),
        "package.json",
        "src",
        "node_modules/.bin/node",
        ...(await productionPackages()),
      ],
      {
        timeoutMs: 120_000,
      },
    );
    await cloud.writeFile(server, { path: "/opt/boxyard/incoming.tar", content: await readFile(archive) });
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
  const release = `${RELEASES}/${hash}`;
  await must(cloud, server, ["rm", "-rf", release]);
  await must(cloud, server, ["mkdir", "-p", "-m", "755", release]);
  await must(cloud, server, ["tar", "-C", release, "--no-same-owner", "-xf", "/opt/boxyard/incoming.tar"]);
  await must(cloud, server, ["chmod", "-R", "u=rwX,go=rX", "/opt/boxyard"]);
  await must(cloud, server, ["ln", "-sfn", `releases/${hash}`, "/opt/boxyard/next"]);
  await must(cloud, server, ["mv", "-T", "/opt/boxyard/next", "/opt/boxyard/current"]);
  await must(cloud, server, ["rm", "-f", "/opt/boxyard/incoming.tar"]);
  await removeOldReleases(cloud, server, hash, current.stdout.trim().replace(/^releases\//, ""));
  return true;
}

/** The release before stays, for processes that have not been restarted yet. */
async function removeOldReleases(cloud: Cloud, server: string, ...keep: string[]): Promise<void> {
  const { stdout } = await cloud.execute(server, ["ls", RELEASES]);
  for (const name of stdout.split("\n")) {
    if (/^[0-9a-f]{12}$/.test(name) && !keep.includes(name)) await must(cloud, server, ["rm", "-rf", `${RELEASES}/${name}`]);
  }
}

async function must(cloud: Cloud, server: string, argv: Argv): Promise<void> {
  const { exitCode, stderr } = await cloud.execute(server, argv, { timeoutMs: 180_000 });
  if (exitCode !== 0) throw new Fault("runtime.failed", `cannot put the runtime on ${server}: ${argv[0]}: ${stderr.trim()}`);
}

/** Paths, from the checkout's root, of the packages that are not for development only. */
async function productionPackages(): Promise<string[]> {
  const lock = JSON.parse(await readFile(join(ROOT, "package-lock.json"), "utf8")) as {
    packages: Record<string, { dev?: boolean; optional?: boolean }>;
  };
  const installed = new Set(await packageDirectories(join(ROOT, "node_modules")));
  return Object.entries(lock.packages).flatMap(([path, { dev = false }]) =>
    path !== "" && !dev && installed.has(path) && !isNested(path, lock.packages) ? [path] : [],
  );
}

/** A package inside another production package travels with it. */
function isNested(path: string, packages: Record<string, { dev?: boolean }>): boolean {
  const outer = path.slice(0, path.lastIndexOf("/node_modules/"));
  return path.lastIndexOf("/node_modules/") > 0 && packages[outer]?.dev !== true;
}

async function packageDirectories(modules: string): Promise<string[]> {
  const names = await readdir(modules);
  const scoped = await Promise.all(
    names
      .filter((name) => name.startsWith("@"))
      .map(async (scope) => (await readdir(join(modules, scope))).map((name) => `${scope}/${name}`)),
  );
  return [...names.filter((name) => !name.startsWith("@")), ...scoped.flat()].map((name) => relative(ROOT, join(modules, name)));
}

async function sourceFiles(): Promise<string[]> {
  const entries = await readdir(join(ROOT, "src"), { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile() && !entry.name.endsWith(".test.ts"));
  return [...files.map((entry) => relative(ROOT, join(entry.parentPath, entry.name))), "package.json"].sort();
}

async function digest(path: string): Promise<Buffer> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return hash.digest();
}

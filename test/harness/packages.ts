import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { mustInServer } from "./servers.ts";
import { boxyardJson } from "./yard.ts";

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;
const SETTINGS = ["registry", "proxy", "https-proxy"];

/** Builds of the yard get npm's packages from where this machine gets them: told as an operator tells it. */
export async function getPackagesAsThisMachine(): Promise<void> {
  const scratch = await mkdtemp(join(tmpdir(), "boxyard-packages-"));
  const [npmrc, authorities] = [join(scratch, "npmrc"), join(scratch, "authorities.pem")];
  try {
    const lines = await Promise.all(SETTINGS.map(async (key) => [key, await npmSetting(key)] as const));
    await writeFile(npmrc, lines.flatMap(([key, value]) => (value === null ? [] : [`${key}=${value}\n`])).join(""));
    await writeFile(authorities, await ownAuthorities());
    await boxyardJson("packages", "set", "--npmrc", npmrc, "--authorities", authorities);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

/** Those that this machine's npm trusts, and a server of the yard does not. */
async function ownAuthorities(): Promise<string> {
  const file = await npmSetting("cafile");
  if (file === null) return "";
  const known = new Set((await mustInServer("c1s", "cat", "/etc/ssl/certs/ca-certificates.crt")).match(CERTIFICATE));
  const trusted = (await readFile(file, "utf8")).match(CERTIFICATE) ?? [];
  return trusted.filter((one) => !known.has(one)).join("\n");
}

async function npmSetting(key: string): Promise<string | null> {
  const { stdout } = await execa("npm", ["config", "get", key]);
  return stdout === "null" || stdout === "" ? null : stdout;
}

/** Writes the lock file of a package.json in this directory, by asking the registry. */
export async function lockPackages(directory: string): Promise<void> {
  await execa("npm", ["install", "--package-lock-only", "--no-audit", "--no-fund"], { cwd: directory });
}

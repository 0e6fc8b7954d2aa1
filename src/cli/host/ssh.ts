import { access, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { run } from "#base/run.ts";

const COMMENT = "made-by-boxyard-up";

/** The person's own SSH public key; made when there is none, since a push needs one. */
export async function ensurePersonalKey(): Promise<string> {
  const key = join(homedir(), ".ssh/id_ed25519");
  if (!(await isThere(`${key}.pub`))) {
    await mkdir(join(homedir(), ".ssh"), { recursive: true, mode: 0o700 });
    await run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", COMMENT, "-f", key]);
  }
  return (await readFile(`${key}.pub`, "utf8")).trim();
}

/** SSH and Git on this machine know the host keys of the yard's servers, so that nobody is asked to trust one. */
export async function ensureKnownHosts(
  yard: string,
  hosts: readonly { readonly address: string; readonly publicKey: string }[],
): Promise<void> {
  // Outside the yard's private directory: ssh runs as the person who pushes, and these are public keys.
  const known = knownHostsFile(yard);
  const lines = hosts.map(({ address, publicKey }) => `${address} ${publicKey}`);
  await writeFile(known, `${lines.join("\n")}\n`, { mode: 0o644 });
  const config = [
    `# Written by bin/up for yard ${yard}; bin/down removes it.`,
    `Host ${hosts.map(({ address }) => address).join(" ")}`,
    `  UserKnownHostsFile ${known} ~/.ssh/known_hosts`,
    "",
  ];
  await mkdir("/etc/ssh/ssh_config.d", { recursive: true });
  await writeFile(configFile(yard), config.join("\n"), { mode: 0o644 });
}

/** Takes back what the two functions above have left; the key only when it was made here and no yard is left. */
export async function forgetSsh(yard: string): Promise<void> {
  await rm(configFile(yard), { force: true });
  await rm(knownHostsFile(yard), { force: true });
  const others = (await readdir("/var/lib/boxyard/yards").catch(() => [])).filter((name) => name !== yard);
  const key = join(homedir(), ".ssh/id_ed25519");
  const publicKey = await readFile(`${key}.pub`, "utf8").catch(() => "");
  if (others.length > 0 || !publicKey.trim().endsWith(` ${COMMENT}`)) return;
  await rm(key, { force: true });
  await rm(`${key}.pub`, { force: true });
}

function configFile(yard: string): string {
  return `/etc/ssh/ssh_config.d/boxyard-${yard}.conf`;
}

function knownHostsFile(yard: string): string {
  return `/etc/ssh/boxyard-${yard}.known_hosts`;
}

async function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

import { copyFile, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import { until } from "#base/retry.ts";
import { run } from "#base/run.ts";
import { freePort } from "./ports.ts";

const HOST = "127.0.0.1";

/**
 * Runs sshd with a server's configuration, except for who may log in and what runs then, and a client whose agent holds `keys` keys,
 * the last of which is right. Gives what the client printed: "let in", or why not. `scratch` is a directory of the test's own.
 */
export async function loginWithManyKeys(configuration: string, keys: number, scratch: string): Promise<string> {
  const at = (name: string): string => join(scratch, name);
  const names = Array.from({ length: keys }, (_, index) => at(`key${index}`));
  for (const path of [at("host_key"), ...names]) await execa("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", path]);
  await copyFile(`${names.at(-1)}.pub`, at("authorized"));
  await writeFile(at("sshd_config"), configuration);
  await ensureSeparation();
  const port = await freePort(HOST);
  // The first value that sshd finds of an option holds, and these come first.
  const login = ["PermitRootLogin=yes", "AllowUsers=root", "UsePAM=no", "StrictModes=no", "ForceCommand=echo let in"];
  const place = [`ListenAddress=${HOST}`, `HostKey=${at("host_key")}`, `AuthorizedKeysFile=${at("authorized")}`, "PidFile=none"];
  const options = [...login, ...place].flatMap((option) => ["-o", option]);
  const sshd = execa("/usr/sbin/sshd", ["-D", "-f", at("sshd_config"), "-p", String(port), ...options], { reject: false });
  const agent = execa("ssh-agent", ["-D", "-a", at("agent")], { reject: false });
  const env = { SSH_AUTH_SOCK: at("agent") };
  try {
    await until("ssh-agent", () => execa("ssh-add", ["-q", ...names], { env }), { timeoutMs: 30_000 });
    return await until("sshd", () => logIn(port, env), { timeoutMs: 30_000 });
  } finally {
    for (const one of [sshd, agent]) one.kill();
    await Promise.all([sshd, agent]);
  }
}

/** Null while nothing listens yet. */
async function logIn(port: number, env: Readonly<Record<string, string>>): Promise<string | null> {
  const options = ["UserKnownHostsFile=/dev/null", "StrictHostKeyChecking=no", "BatchMode=yes", "LogLevel=ERROR"];
  const argv = ["-F", "none", "-p", String(port), ...options.flatMap((one) => ["-o", one]), `root@${HOST}`];
  const { stdout, stderr } = await execa("ssh", argv, { env, reject: false });
  return stderr.includes("Connection refused") ? null : `${stdout}${stderr}`;
}

/** Throws with sshd's words when it refuses the configuration. */
export async function checkSshd(path: string): Promise<void> {
  await ensureSeparation();
  await run(["/usr/sbin/sshd", "-t", "-f", path]);
}

/** What sshd makes of the configuration for a user: each setting's name with all of its values. */
export async function effectiveSshd(path: string, user: string): Promise<Map<string, string[]>> {
  await ensureSeparation();
  const { stdout } = await run(["/usr/sbin/sshd", "-T", "-f", path, "-C", `user=${user},host=client,addr=10.77.0.9`]);
  const settings = new Map<string, string[]>();
  for (const line of stdout.trim().split("\n")) {
    const [name = "", ...values] = line.split(" ");
    settings.set(name, [...(settings.get(name) ?? []), ...values]);
  }
  return settings;
}

/** sshd refuses to look at anything without the directory that it confines itself to. */
async function ensureSeparation(): Promise<void> {
  await mkdir("/run/sshd", { recursive: true });
}

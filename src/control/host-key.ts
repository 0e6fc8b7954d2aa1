import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run } from "#base/run.ts";

/** A new SSH host key for a server, in OpenSSH's own formats. */
export async function makeHostKey(server: string): Promise<{ privateKey: string; publicKey: string }> {
  const directory = await mkdtemp(join(tmpdir(), "boxyard-host-key-"));
  try {
    const path = join(directory, "key");
    await run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", server, "-f", path]);
    const publicKey = (await readFile(`${path}.pub`, "utf8")).trim().split(" ").slice(0, 2).join(" ");
    return { privateKey: await readFile(path, "utf8"), publicKey };
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

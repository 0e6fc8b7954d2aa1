import { open } from "node:fs/promises";
import type { Readable } from "node:stream";
import type { Command } from "commander";
import { Fault } from "#base/fault.ts";
import { keyRoutes, type SshKey } from "#contract/api/keys.ts";
import { SshPublicKey } from "#contract/ssh-key.ts";
import { declare, group } from "../command.ts";
import { renderTable } from "../render/table.ts";
import { websiteReady } from "../wait.ts";

/** Far more than any public key, far less than a wrong file could be. */
const MAX_KEY_FILE_BYTES = 16 * 1024;

/** `boxyard key …`. */
export function keyCommand(): Command {
  return group("key", "SSH public keys that may push to a website and log in to its shell server", [add(), list(), remove()]);
}

function add(): Command {
  return declare<[string, string], object, SshKey>({
    usage: "add <website> <key>",
    summary: "Allow a key: a .pub file, - for standard input, or the line itself",
    examples: ["key add s1 ~/.ssh/id_ed25519.pub", 'key add s1 "ssh-ed25519 AAAA… you@example.org"', "key add s1 - < key.pub"],
    waits: true,
    run: async ({ client, args: [website, given], wait }) => {
      const added = await client.call(keyRoutes.addKey, { params: { website }, input: { publicKey: await readPublicKey(given) } });
      if (wait !== null) await websiteReady(client, website, wait);
      return added;
    },
    render: ({ fingerprint, comment }) => `Added ${fingerprint} ${comment}`.trimEnd(),
  });
}

function list(): Command {
  return declare<[string], object, SshKey[]>({
    usage: "list <website>",
    summary: "A website's keys",
    examples: ["key list s1"],
    run: ({ client, args: [website] }) => client.call(keyRoutes.listKeys, { params: { website } }),
    render: (keys) =>
      renderTable(keys, [
        { title: "fingerprint", show: ({ fingerprint }) => fingerprint },
        { title: "type", show: ({ type }) => type },
        { title: "comment", show: ({ comment }) => comment },
        { title: "added", show: ({ addedAt }) => addedAt.slice(0, 19).replace("T", " ") },
      ]),
  });
}

function remove(): Command {
  return declare<[string, string], object, SshKey>({
    usage: "remove <website> <fingerprint>",
    summary: "Take a key's rights away, by its fingerprint",
    examples: ["key remove s1 SHA256:nThbg6kXUpJWGl7E1IGOCspRomTxdCARLviKw6E5SY8"],
    waits: true,
    run: async ({ client, args: [website, fingerprint], wait }) => {
      const removed = await client.call(keyRoutes.removeKey, { params: { website }, input: { fingerprint } });
      if (wait !== null) await websiteReady(client, website, wait);
      return removed;
    },
    render: ({ fingerprint, comment }) => `Removed ${fingerprint} ${comment}`.trimEnd(),
  });
}

/** The key itself, from wherever it was given. A private key is refused before it could be sent or shown anywhere. */
async function readPublicKey(given: string): Promise<string> {
  refusePrivate(given, "what was given");
  if (SshPublicKey.safeParse(given).success) return given.trim();
  const text = given === "-" ? await readStart(process.stdin) : await readKeyFile(given);
  refusePrivate(text, given === "-" ? "standard input" : given);
  const key = SshPublicKey.safeParse(text);
  if (key.success) return key.data;
  throw new Fault("key.invalid", key.error.issues[0]?.message ?? "not an SSH public key");
}

function refusePrivate(text: string, source: string): void {
  if (!/PRIVATE KEY|PuTTY-User-Key-File/.test(text)) return;
  throw new Fault("key.private", `${source} is a PRIVATE key, which nobody but you should have: it was not sent anywhere`, {
    next: source.includes(" ") ? "give the public one, for example ~/.ssh/id_ed25519.pub" : `give the public one: ${source}.pub`,
  });
}

async function readKeyFile(path: string): Promise<string> {
  try {
    const file = await open(path);
    return await readStart(file.createReadStream());
  } catch (cause) {
    throw new Fault("key.no-file", `“${path}” is neither an SSH public key nor a file that can be read`, {
      cause,
      next: "give a .pub file, for example ~/.ssh/id_ed25519.pub",
    });
  }
}

async function readStart(stream: Readable): Promise<string> {
  let text = "";
  for await (const chunk of stream) {
    text += String(chunk);
    if (text.length > MAX_KEY_FILE_BYTES) break;
  }
  return text;
}

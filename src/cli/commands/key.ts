import { readFile } from "node:fs/promises";
import { Command } from "commander";
import { Fault } from "#base/fault.ts";
import { api, type SshKey } from "#contract/api.ts";
import { SshPublicKey } from "#contract/ssh-key.ts";
import { declare } from "../command.ts";
import { renderTable } from "../render/table.ts";
import { websiteReady } from "../wait.ts";

interface Waiting {
  readonly wait: boolean;
}

/** `boxyard key …`. */
export function keyCommand(): Command {
  return new Command("key")
    .description("SSH public keys that may push to a website and log in to its shell server")
    .addCommand(add())
    .addCommand(list())
    .addCommand(remove());
}

function add(): Command {
  return declare<[string, string], Waiting, SshKey>({
    usage: "add <website> <key>",
    summary: "Allow a key: a .pub file, - for standard input, or the line itself",
    examples: ["key add s1 ~/.ssh/id_ed25519.pub", 'key add s1 "ssh-ed25519 AAAA… you@example.org"', "key add s1 - < key.pub"],
    options: (command) => command.option("--no-wait", "return at once"),
    run: async ({ client, args: [website, given], options, progress }) => {
      const added = await client.call(api.addKey, { params: { website }, input: { publicKey: await readPublicKey(given) } });
      if (options.wait) await websiteReady(client, website, { progress });
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
    run: ({ client, args: [website] }) => client.call(api.listKeys, { params: { website } }),
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
  return declare<[string, string], Waiting, SshKey>({
    usage: "remove <website> <fingerprint>",
    summary: "Take a key's rights away, by its fingerprint",
    examples: ["key remove s1 SHA256:nThbg6kXUpJWGl7E1IGOCspRomTxdCARLviKw6E5SY8"],
    options: (command) => command.option("--no-wait", "return at once"),
    run: async ({ client, args: [website, fingerprint], options, progress }) => {
      const removed = await client.call(api.removeKey, { params: { website }, input: { fingerprint } });
      if (options.wait) await websiteReady(client, website, { progress });
      return removed;
    },
    render: ({ fingerprint, comment }) => `Removed ${fingerprint} ${comment}`.trimEnd(),
  });
}

/** The key itself, from wherever it was given. A private key is refused before it could be sent anywhere. */
async function readPublicKey(given: string): Promise<string> {
  const text = SshPublicKey.safeParse(given).success ? given : await readKeyFile(given);
  if (/PRIVATE KEY/.test(text))
    throw new Fault("key.private", `${given} is a private key, which nobody but you should have`, {
      next: `give the public one: ${given}.pub`,
    });
  const key = SshPublicKey.safeParse(text);
  if (key.success) return key.data;
  throw new Fault("key.invalid", key.error.issues[0]?.message ?? "not an SSH public key");
}

async function readKeyFile(path: string): Promise<string> {
  return readFile(path === "-" ? "/dev/stdin" : path, "utf8").catch((cause: unknown) => {
    throw new Fault("key.no-file", `“${path}” is neither an SSH public key nor a file that can be read`, {
      cause,
      next: "give a .pub file, for example ~/.ssh/id_ed25519.pub",
    });
  });
}

import { Fault } from "#base/fault.ts";
import { run } from "#base/run.ts";
import type { SshKey } from "#contract/api/keys.ts";
import * as websites from "../store/websites.ts";
import type { Handler } from "./handler.ts";

type KeyRow = Awaited<ReturnType<typeof websites.listKeys>>[number];

export const addKey: Handler<"addKey"> = async ({ store, onRowsChanged }, { params: { website }, input: { publicKey } }) => {
  await websites.readWebsite(store, website);
  const [type = "", body = "", ...words] = publicKey.split(" ");
  const fingerprint = await fingerprintOf(`${type} ${body}`);
  await websites.addKey(store, { website, fingerprint, type, comment: words.join(" "), public_key: publicKey });
  await onRowsChanged();
  const added = (await websites.listKeys(store, website)).find((key) => key.fingerprint === fingerprint);
  if (added === undefined) throw new Fault("key.unknown", "the key was removed at the same moment");
  return describe(added);
};

export const listKeys: Handler<"listKeys"> = async ({ store }, { params: { website } }) => {
  await websites.readWebsite(store, website);
  return (await websites.listKeys(store, website)).map(describe);
};

export const removeKey: Handler<"removeKey"> = async ({ store, onRowsChanged }, { params: { website }, input: { fingerprint } }) => {
  await websites.readWebsite(store, website);
  const removed = await websites.removeKey(store, website, fingerprint);
  await onRowsChanged();
  return describe(removed);
};

/** OpenSSH's own verdict on a key. */
async function fingerprintOf(key: string): Promise<string> {
  const { stdout } = await run(["ssh-keygen", "-l", "-f", "-"], { input: `${key}\n` }).catch(() => {
    throw new Fault("key.invalid", "OpenSSH does not accept this as a public key", {
      next: "copy the whole line of your .pub file, for example ~/.ssh/id_ed25519.pub",
    });
  });
  const fingerprint = /SHA256:\S+/.exec(stdout)?.[0];
  if (fingerprint === undefined) throw new Fault("key.invalid", "OpenSSH gives no fingerprint for this key");
  return fingerprint;
}

function describe({ fingerprint, type, comment, public_key: publicKey, added_at: addedAt }: KeyRow): SshKey {
  return { fingerprint, type, comment, publicKey, addedAt: addedAt.toISOString().replace("Z", "000Z") };
}

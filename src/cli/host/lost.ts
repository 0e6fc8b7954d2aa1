import { Fault } from "#base/fault.ts";
import { mapParallel } from "#base/parallel.ts";
import { until } from "#base/retry.ts";
import type { Cloud, ServerFile } from "#cloud/driver.ts";
import { type ControlConfig, DATABASE_REPLICATED_PATH, SECRETS_PATH } from "#contract/control-config.ts";
import { CONTROL_SERVER, CONTROL_SERVERS } from "./brokers.ts";

const READ_MS = 30_000;

/** Which control servers are one of three, running or not: each has the yard's secrets and a database that belongs to the three. */
export async function listThree(cloud: Cloud): Promise<string[]> {
  const there = new Set((await cloud.listServers()).map(({ name }) => name));
  const present = CONTROL_SERVERS.filter((name) => there.has(name));
  const isOne = await mapParallel(present, present.length, async (server) => {
    const files = await mapParallel([DATABASE_REPLICATED_PATH, SECRETS_PATH], 2, (path) => readPatiently(cloud, server, path));
    return files.every((file) => file !== null);
  });
  return present.filter((_name, nth) => isOne[nth]);
}

/** How the first control server is to begin, in its configuration's words, and the files that it is to have before it does. */
export interface FirstPlace extends Pick<ControlConfig, "replicatedDatabase" | "rejoins"> {
  readonly files: readonly ServerFile[];
}

/**
 * The place of the first control server: first of all, one of three, or again one of three in place of one that is lost. Never
 * with new secrets around servers that know others: Fault "yard.secrets-lost" when nobody has a copy.
 */
export async function findFirstPlace(cloud: Cloud, yard: string): Promise<FirstPlace> {
  const three = await listThree(cloud);
  const [holder] = three;
  if (holder === undefined) {
    await refuseNewSecrets(cloud, yard);
    return { replicatedDatabase: false, rejoins: false, files: [] };
  }
  if (three.includes(CONTROL_SERVER)) return { replicatedDatabase: true, rejoins: false, files: [] };
  const content = await cloud.readFile(holder, SECRETS_PATH);
  if (content === null) throw new Error(`${holder} had the yard's secrets a moment ago`);
  return { replicatedDatabase: true, rejoins: true, files: [{ path: SECRETS_PATH, mode: 0o600, content }] };
}

/** A server that control is making right now cannot be read for a moment. */
async function readPatiently(cloud: Cloud, server: string, path: string): Promise<Uint8Array | null> {
  const read = async () => ({ bytes: await cloud.readFile(server, path) });
  return (await until(`the files of ${server}`, read, { timeoutMs: READ_MS, everyMs: 1_000 })).bytes;
}

async function refuseNewSecrets(cloud: Cloud, yard: string): Promise<void> {
  const names = (await cloud.listServers()).map(({ name }) => name).filter((name) => !name.startsWith("template-"));
  const others = names.filter((name) => name !== CONTROL_SERVER);
  if (others.length === 0) return;
  if (names.includes(CONTROL_SERVER) && (await cloud.readFile(CONTROL_SERVER, SECRETS_PATH)) !== null) return;
  throw new Fault(
    "yard.secrets-lost",
    `${CONTROL_SERVER} of yard ${yard} is gone, and with it the yard's secrets and rows, of which no other server has a copy; ${others.join(", ")} would not obey new ones`,
    { next: `remove what is left, and make the yard anew: bin/down --yard ${yard}` },
  );
}

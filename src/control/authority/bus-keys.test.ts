import { beforeEach, describe, expect, test } from "vitest";
import { silentLog } from "#base/log.ts";
import { makeBusKey } from "#contract/actions/credentials.ts";
import { credentialsForServer, hasRights } from "#fabric/identity.ts";
import { useBusAndStore } from "#harness/bus-and-store.ts";
import { addBusKey, listCurrentKeys, listRevokedKeys } from "../store/bus-keys.ts";
import { insertCluster } from "../store/clusters.ts";
import { addServer } from "../store/servers.ts";
import { BusKeys } from "./bus-keys.ts";

const OLDER_RIGHTS = 1;

const control = useBusAndStore();

beforeEach(async () => {
  const { store } = control;
  await insertCluster(store);
  for (const name of ["c1b1", "c1b2", "c1b3"])
    await addServer(store, "10.99.0.0/24", { name, roles: ["box"], cluster: "c1", hostKey: null });
});

async function keyOf(server: string): Promise<string> {
  const [made] = await control.fabric.askAll(makeBusKey, [server], {});
  return made?.output?.current ?? "none";
}

describe("keys that were given rights of an older form", () => {
  test("are renewed, all of them that can be reached, and no others", async () => {
    const { broker, fabric, store } = control;
    await broker.joinAsServer("c1b1");
    await broker.joinAsServer("c1b2");
    const [older, present] = [await keyOf("c1b1"), await keyOf("c1b2")];
    await addBusKey(store, "c1b1", older, OLDER_RIGHTS);
    await addBusKey(store, "c1b2", present);
    await addBusKey(store, "c1b3", "of-a-server-that-is-away", OLDER_RIGHTS);
    const { keys, authority, brokers } = broker;
    await new BusKeys({ store, secrets: { keys, authority }, fabric, brokers, log: silentLog() }).tend();
    const current = await listCurrentKeys(store);
    expect(current.map(({ server, isOutdated }) => [server, isOutdated]).sort()).toEqual([
      ["c1b1", false],
      ["c1b2", false],
      ["c1b3", true],
    ]);
    expect((await listRevokedKeys(store)).map(({ publicKey }) => publicKey)).toEqual([older]);
    expect(await keyOf("c1b1")).toBe(current.find(({ server }) => server === "c1b1")?.publicKey);
    expect(await keyOf("c1b2")).toBe(present);
  });
});

describe("credentials", () => {
  test("tell whether they give a server the rights that it should have", async () => {
    const box = await credentialsForServer(control.broker.keys, { server: "c1b1", roles: ["box"] });
    expect(hasRights(box, { server: "c1b1", roles: ["box"] })).toBe(true);
    expect(hasRights(box, { server: "c1b1", roles: ["git"] })).toBe(false);
    expect(hasRights(box, { server: "c1b2", roles: ["box"] })).toBe(false);
  });
});

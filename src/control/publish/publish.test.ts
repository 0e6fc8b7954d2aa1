import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { ControlFabric } from "#fabric/fabric.ts";
import { startBroker, type TestBroker } from "#harness/broker.ts";
import { startPostgres, type TestPostgres } from "#harness/postgres.ts";
import { insertCluster } from "../store/clusters.ts";
import type { Store } from "../store/schema.ts";
import { addServer, listServerRows, removeServerRow } from "../store/servers.ts";
import { listGenerations, listSpecs } from "../store/specs.ts";
import { Publisher } from "./publish.ts";

const SUBNET = "10.99.0.0/24";

let postgres: TestPostgres;
let broker: TestBroker;
let fabric: ControlFabric;
let store: Store;
let publisher: Publisher;

beforeAll(async () => {
  [postgres, broker] = await Promise.all([startPostgres(), startBroker()]);
  fabric = await broker.joinAsControl();
});
afterAll(() => Promise.all([postgres.stop(), broker.stop()]));
beforeEach(async () => {
  store = await postgres.freshStore();
  publisher = new Publisher({
    store,
    fabric,
    yard: "trial",
    defaultCertificate: { chainPem: "", keyPem: "" },
    brokers: [...broker.brokers],
    broker: null,
  });
  await insertCluster(store);
  await add("c1v1", "cache");
});

const add = (name: string, role: "cache" | "box"): Promise<void> =>
  addServer(store, SUBNET, { name, roles: [role], cluster: "c1", hostKey: null });

describe("a plan", () => {
  test("raises the generation of the servers that a change concerns, and of no other", async () => {
    await publisher.plan();
    await publisher.plan();
    expect(await listGenerations(store)).toEqual(new Map([["c1v1", 1]]));
    await add("c1b1", "box");
    await publisher.plan();
    expect(await listGenerations(store)).toEqual(
      new Map([
        ["c1b1", 1],
        ["c1v1", 2],
      ]),
    );
    await publisher.plan();
    expect((await listGenerations(store)).get("c1v1")).toBe(2);
  });

  test("knows every change that was made before it was asked for, however many are asked for at once", async () => {
    const boxes = Array.from({ length: 12 }, (_, index) => `c1b${index + 1}`);
    for (const box of boxes) {
      await add(box, "box");
      void publisher.plan();
      void publisher.plan();
    }
    await publisher.plan();
    const cache = (await listSpecs(store)).find(({ server }) => server === "c1v1");
    expect(cache?.roles.cache?.boxes.map(({ name }) => name)).toEqual(boxes);
  });

  test("that fails is not in the way of the next", async () => {
    await store.schema.alterTable("spec").renameTo("hidden").execute();
    await expect(publisher.plan()).rejects.toThrow();
    await store.schema.alterTable("hidden").renameTo("spec").execute();
    await publisher.plan();
    expect((await listGenerations(store)).get("c1v1")).toBe(1);
  });
});

describe("what is delivered", () => {
  test("reaches its server, and a server that comes back under a removed one's name", async () => {
    const agent = await broker.joinAsServer("c1v1", ["cache"]);
    await publisher.plan();
    await publisher.deliver();
    expect((await agent.readSpec())?.generation).toBe(1);
    await removeServerRow(store, "c1v1");
    await publisher.withdraw("c1v1");
    expect(await agent.readSpec()).toBeNull();
    await add("c1v1", "cache");
    await publisher.plan();
    await publisher.deliver();
    expect((await agent.readSpec())?.generation).toBe(1);
    expect(await listServerRows(store)).toHaveLength(1);
  });
});

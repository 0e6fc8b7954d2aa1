import { beforeEach, describe, expect, test } from "vitest";
import { useBusAndStore } from "#harness/bus-and-store.ts";
import { insertCluster } from "../store/clusters.ts";
import { addServer, listServerRows, removeServerRow } from "../store/servers.ts";
import { listGenerations, listSpecs } from "../store/specs.ts";
import { Publisher } from "./publish.ts";

const SUBNET = "10.99.0.0/24";

const control = useBusAndStore();
let publisher: Publisher;

beforeEach(async () => {
  publisher = new Publisher({
    store: control.store,
    fabric: control.fabric,
    yard: "trial",
    defaultCertificate: { chainPem: "", keyPem: "" },
    brokers: [...control.broker.brokers],
    broker: null,
  });
  await insertCluster(control.store);
  await add("c1v1", "cache");
});

const add = (name: string, role: "cache" | "box"): Promise<void> =>
  addServer(control.store, SUBNET, { name, roles: [role], cluster: "c1", hostKey: null });

describe("a plan", () => {
  test("raises the generation of the servers that a change concerns, and of no other", async () => {
    await publisher.plan();
    await publisher.plan();
    expect(await listGenerations(control.store)).toEqual(new Map([["c1v1", 1]]));
    await add("c1b1", "box");
    await publisher.plan();
    expect(await listGenerations(control.store)).toEqual(
      new Map([
        ["c1b1", 1],
        ["c1v1", 2],
      ]),
    );
    await publisher.plan();
    expect((await listGenerations(control.store)).get("c1v1")).toBe(2);
  });

  test("knows every change that was made before it was asked for, however many are asked for at once", async () => {
    const boxes = Array.from({ length: 12 }, (_, index) => `c1b${index + 1}`);
    for (const box of boxes) {
      await add(box, "box");
      void publisher.plan();
      void publisher.plan();
    }
    await publisher.plan();
    const cache = (await listSpecs(control.store)).find(({ server }) => server === "c1v1");
    expect(cache?.roles.cache?.boxes.map(({ name }) => name)).toEqual(boxes);
  });

  test("that fails is not in the way of the next", async () => {
    await control.store.schema.alterTable("spec").renameTo("hidden").execute();
    await expect(publisher.plan()).rejects.toThrow();
    await control.store.schema.alterTable("hidden").renameTo("spec").execute();
    await publisher.plan();
    expect((await listGenerations(control.store)).get("c1v1")).toBe(1);
  });
});

describe("what is delivered", () => {
  test("reaches its server, and a server that comes back under a removed one's name", async () => {
    const agent = await control.broker.joinAsServer("c1v1", ["cache"]);
    await publisher.plan();
    await publisher.deliver();
    expect((await agent.readSpec())?.generation).toBe(1);
    await removeServerRow(control.store, "c1v1");
    await publisher.withdraw("c1v1");
    expect(await agent.readSpec()).toBeNull();
    await add("c1v1", "cache");
    await publisher.plan();
    await publisher.deliver();
    expect((await agent.readSpec())?.generation).toBe(1);
    expect(await listServerRows(control.store)).toHaveLength(1);
  });
});

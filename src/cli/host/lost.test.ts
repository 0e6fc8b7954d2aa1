import { beforeEach, expect, test } from "vitest";
import { type MemoryCloud, memoryCloud } from "#cloud/memory/cloud.ts";
import { DATABASE_REPLICATED_PATH, SECRETS_PATH } from "#contract/control-config.ts";
import { findFirstPlace, listThree } from "./lost.ts";

let cloud: MemoryCloud;
beforeEach(() => {
  cloud = memoryCloud();
});

const ofThree = { [DATABASE_REPLICATED_PATH]: "", [SECRETS_PATH]: "the yard's secrets" };

async function make(name: string, files: Record<string, string> = {}): Promise<void> {
  const contents = Object.entries(files).map(([path, content]) => ({ path, content }));
  await cloud.ensureServer({ name, template: "template-1", address: "10.77.5.9", guard: "address", volumes: [], files: contents });
}

const place = () => findFirstPlace(cloud, "acme");
const beginning = { replicatedDatabase: false, rejoins: false, files: [] };

test("where there is nothing yet, the first control server makes the secrets", async () => {
  await make("template-1");
  expect(await place()).toEqual(beginning);
  await make("control1");
  expect(await place()).toEqual(beginning);
});

test("a yard of one, and one that is on its way to three, stays as it is", async () => {
  await make("control1", { [SECRETS_PATH]: "the yard's secrets" });
  await make("control2", { [SECRETS_PATH]: "the yard's secrets" });
  await make("c1b1");
  expect(await place()).toEqual(beginning);
});

test("a first control server that is one of three is left alone, also when it does not run", async () => {
  for (const server of ["control1", "control2", "control3"]) await make(server, ofThree);
  await cloud.stopServer("control1");
  expect(await place()).toEqual({ replicatedDatabase: true, rejoins: false, files: [] });
  expect(await listThree(cloud)).toEqual(["control1", "control2", "control3"]);
});

test.each([{ control1: null }, { control1: {} }, { control1: { [DATABASE_REPLICATED_PATH]: "" } }])(
  "a first control server that is gone, or has no secrets, gets them from one that has them: $control1",
  async ({ control1 }) => {
    if (control1 !== null) await make("control1", control1);
    await make("control2");
    await make("control3", ofThree);
    const { replicatedDatabase, rejoins, files } = await place();
    expect([replicatedDatabase, rejoins]).toEqual([true, true]);
    expect(files.map(({ path, mode, content }) => [path, mode, new TextDecoder().decode(content as Uint8Array)])).toEqual([
      [SECRETS_PATH, 0o600, "the yard's secrets"],
    ]);
    expect(await listThree(cloud)).toEqual(["control3"]);
  },
);

test("no new secrets are made around servers that know others: bin/up says that the yard is lost", async () => {
  await make("c1b1");
  await make("control2", { [SECRETS_PATH]: "secrets, but no rows" });
  const lost = { code: "yard.secrets-lost", next: expect.stringContaining("bin/down --yard acme") };
  await expect(place()).rejects.toMatchObject(lost);
  await make("control1");
  await expect(place()).rejects.toMatchObject(lost);
});

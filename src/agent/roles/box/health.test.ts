import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { testWebsite } from "../../website/releases/test-site.ts";
import { type Health, type HealthOptions, startHealth } from "./health.ts";

const RELEASE = "a".repeat(40);
let directory: string;
let health: Health | undefined;
let options: HealthOptions;
const box = { isConverged: true, isConfirmed: false, live: RELEASE };

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "boxyard-health-"));
  Object.assign(box, { isConverged: true, isConfirmed: false, live: RELEASE });
  options = {
    port: await freePort(),
    isConverged: () => box.isConverged,
    isConfirmed: () => box.isConfirmed,
    websites: () => [testWebsite()],
    releases: { expected: () => RELEASE, live: async () => box.live },
    marker: join(directory, "run", "box-ready"),
  };
});
afterEach(async () => {
  await health?.stop();
  await rm(directory, { recursive: true });
});

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function answer(): Promise<string> {
  const response = await fetch(`http://127.0.0.1:${options.port}/`);
  return `${response.status} ${(await response.text()).trim()}`;
}

test("a box that has converged to what lies on its disk gets no visitors before the bus says that this is of today", async () => {
  health = await startHealth(options);
  expect(await answer()).toBe("503 nobody has said yet that what is here is of today");
  box.isConfirmed = true;
  expect(await answer()).toBe("200 ready");
});

test("when nobody can say, it serves what it has after a while", async () => {
  health = await startHealth({ ...options, graceMs: 0 });
  expect(await answer()).toBe("200 ready");
});

test("an agent that starts anew on a box that was ready takes it off no visitor", async () => {
  box.isConfirmed = true;
  health = await startHealth(options);
  expect(await answer()).toBe("200 ready");
  await health.stop();
  Object.assign(box, { isConfirmed: false, isConverged: false });
  health = await startHealth(options);
  expect(await answer()).toBe("200 ready");
  box.live = "b".repeat(40);
  expect(await answer()).toMatch(/^503 s1 serves b+, not a+$/);
});

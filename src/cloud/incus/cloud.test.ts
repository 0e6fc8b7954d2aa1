import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { renderFault } from "#base/fault.ts";
import { cloudConformance } from "../conformance.ts";
import { incusCloud } from "./cloud.ts";
import type { Connection } from "./connection.ts";
import {
  chooseDaemon,
  chooseSubnet,
  type Daemon,
  ensureDaemon,
  ensureHostPackages,
  ensureHttps,
  ensureImage,
  ensurePool,
  POOL,
} from "./host.ts";
import { ensureTemplate, ensureYardCertificate, ensureYardProject, removeYard, yardCloudNames } from "./yard.ts";

const YARD = "conform";
/** A cold machine installs packages and builds the server image first. */
const COLD_MS = 30 * 60_000;
/** Outside the range from which bin/up chooses by itself. */
const networkPrefix = "10.214.77.";
const part = { ...yardCloudNames(YARD), pool: POOL };

let daemon: Daemon;
let connection: Connection;

beforeAll(async () => {
  daemon = await chooseDaemon();
  await ensureHostPackages(daemon);
  connection = await ensureDaemon(daemon);
  await ensurePool(connection, daemon);
  await removeYard(connection, daemon, YARD);
}, COLD_MS);

describe("the cloud of this machine", () => {
  afterAll(() => removeYard(connection, daemon, YARD), 180_000);

  cloudConformance(async () => {
    const image = await ensureImage(connection, daemon, { onBuild: () => undefined, onWait: () => undefined });
    await ensureYardProject(connection, YARD, `${networkPrefix}1`, 24);
    const template = await ensureTemplate(connection, daemon, YARD, image);
    expect(await ensureTemplate(connection, daemon, YARD, image)).toBe(template);
    return { cloud: incusCloud({ endpoint: { socket: daemon.socket }, ...part }), template, networkPrefix };
  });

  test("the yard's certificate may use the yard's project and no other", async () => {
    const pair = await ensureYardCertificate(connection, YARD, undefined);
    expect(await ensureYardCertificate(connection, YARD, pair)).toBe(pair);
    const { url, certificatePem } = await ensureHttps(connection);
    const endpoint = { url, ...pair, serverCertificatePem: certificatePem };
    await incusCloud({ endpoint, ...part }).check();
    const fault = await incusCloud({ endpoint, ...part, project: "default" })
      .ensureVolume("theirs")
      .catch((thrown: unknown) => thrown);
    expect(fault).toMatchObject({ code: "cloud.forbidden" });
  });

  test("a certificate that is not trusted any more is forbidden at once, with what to do", async () => {
    const pair = await ensureYardCertificate(connection, YARD, undefined);
    const { url, certificatePem } = await ensureHttps(connection);
    await removeYard(connection, daemon, YARD);
    const cloud = incusCloud({ endpoint: { url, ...pair, serverCertificatePem: certificatePem }, ...part });
    const startedAt = performance.now();
    for (const attempt of [
      () => cloud.check(),
      () => cloud.listServers(),
      () => cloud.startServer("first"),
      () => cloud.ensureVolume("a"),
    ]) {
      const fault = await attempt().catch((thrown: unknown) => thrown);
      expect(fault).toMatchObject({ code: "cloud.forbidden" });
      expect(renderFault(fault)).toMatch(/→ .*bin\/up/);
    }
    expect(performance.now() - startedAt).toBeLessThan(3_000);
  });
});

test("a daemon that is not there is unreachable, with what to do", async () => {
  const directory = await mkdtemp(join(tmpdir(), "boxyard-cloud-"));
  try {
    const cloud = incusCloud({ endpoint: { socket: join(directory, "unix.socket") }, ...part });
    const fault = await cloud.check().catch((thrown: unknown) => thrown);
    expect(fault).toMatchObject({ code: "cloud.unreachable" });
    expect(renderFault(fault)).toMatch(/→ .*bin\/up/);
    await expect(cloud.stopServer("first")).rejects.toMatchObject({ code: "cloud.unreachable" });
  } finally {
    await rm(directory, { recursive: true });
  }
});

test("a wanted network that has not 256 addresses is refused with what to do", async () => {
  for (const wanted of ["10.88.0.0/16", "10.88.0.1/24", "10.88.0.0", "10.888.0.0/24"])
    await expect(chooseSubnet(connection, wanted)).rejects.toMatchObject({
      code: "host.bad-subnet",
      next: expect.stringContaining("--subnet"),
    });
  expect(await chooseSubnet(connection, "10.213.7.0/24")).toBe("10.213.7.0/24");
});

import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { run } from "#base/run.ts";
import type { BrokerCluster } from "#contract/spec/broker.ts";
import { createAuthority, issueCertificate } from "#control/authority/authority.ts";
import { goldenText } from "#harness/golden.ts";
import { BROKER_CONFIG, brokerFiles, renderBrokerConfig } from "./broker-config.ts";
import { createBrokerTrust, createYardKeys } from "./identity.ts";

const trust = {
  operatorJwt: "OPERATOR_JWT",
  account: "YARD_ACCOUNT",
  accountJwt: "YARD_ACCOUNT_JWT",
  system: "SYSTEM_ACCOUNT",
  systemJwt: "SYSTEM_ACCOUNT_JWT",
};
const pem = { certificatePem: "certificate\n", keyPem: "key\n", caPem: "authority\n" };
const members = [1, 2, 3].map((nth) => ({ name: `control${nth}`, address: `10.77.5.${nth + 1}` }));
const cluster: BrokerCluster = { name: "acme", port: 6222, password: "of-the-brokers", members };

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "boxyard-broker-config-"));
  const authority = await createAuthority("acme");
  const certificate = await issueCertificate(authority, { commonName: "control1", dnsNames: ["control1"], validDays: 1 });
  await writeFile(join(folder, "certificate.pem"), certificate.certificatePem);
  await writeFile(join(folder, "key.pem"), certificate.keyPem);
  await writeFile(join(folder, "ca.pem"), authority.certificatePem);
  await mkdir(join(folder, "store"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/**
 * Given to nats-server itself, with keys and certificates that are there. That of Debian 13, which every yard has, knows
 * `sync_interval` (since 2.10). Debian 12's, which this machine may have, is to refuse this one field, and nothing else.
 */
async function check(of: BrokerCluster | null): Promise<void> {
  const [, major = 0, minor = 0] = (/v(\d+)\.(\d+)/.exec((await run(["nats-server", "--version"])).stdout) ?? []).map(Number);
  const durable = run(["nats-server", "-t", "-c", await write(of, { isDurable: true })]);
  if (major > 2 || minor >= 10) return void (await durable);
  await expect(durable).rejects.toThrow(/^[^\n]+: unknown field "sync_interval"$/);
  await run(["nats-server", "-t", "-c", await write(of, { isDurable: false })]);
}

/** The configuration as a file, for this machine. */
async function write(of: BrokerCluster | null, { isDurable }: { readonly isDurable: boolean }): Promise<string> {
  const [certificatePath = "", keyPath = "", caPath = ""] = ["certificate.pem", "key.pem", "ca.pem"].map((name) => join(folder, name));
  const own = {
    serverName: "control1",
    address: "127.0.0.1",
    port: 4222,
    storeDirectory: join(folder, "store"),
    cluster: of,
    isDurable,
  };
  const config = renderBrokerConfig(await createBrokerTrust(createYardKeys()), { ...own, certificatePath, keyPath, caPath });
  const path = join(folder, "nats-server.conf");
  await writeFile(path, config);
  return path;
}

describe("a broker", () => {
  test.each([
    { what: "alone", of: null },
    { what: "of-three", of: cluster },
  ])("$what: NATS configuration is as its golden file and passes nats-server -t", async ({ what, of }) => {
    const files = brokerFiles(trust, { serverName: "control1", address: "10.77.5.2", port: 4222, cluster: of }, pem);
    await expect(goldenText(files)).toMatchFileSnapshot(`golden/broker-${what}`);
    await check(of);
  });

  test("looks for the others of its bus, and not for itself", () => {
    const files = brokerFiles(trust, { serverName: "control2", address: "10.77.5.3", port: 4222, cluster }, pem);
    const routes = /routes: \[(.*)\]/.exec(files.find(({ path }) => path === "/etc/nats-server.conf")?.content ?? "")?.[1];
    expect(routes).toContain("@10.77.5.2:6222");
    expect(routes).toContain("@10.77.5.4:6222");
    expect(routes).not.toContain("@10.77.5.3:");
  });

  test("keeps its key and its configuration, which has the routes' password, to itself", () => {
    const modes = new Map(
      brokerFiles(trust, { serverName: "control1", address: "10.77.5.2", port: 4222, cluster }, pem).map(({ path, mode }) => [path, mode]),
    );
    expect(modes.get("/etc/boxyard/broker/key.pem")).toBe(0o600);
    expect(modes.get("/etc/nats-server.conf")).toBe(0o640);
  });
});

test("a yard's broker writes what it acknowledges to the disk", () => {
  const place = { serverName: "control1", address: "10.77.0.2", port: 4222, cluster: null };
  const stored = brokerFiles(trust, place, pem).find(({ path }) => path === BROKER_CONFIG)?.content ?? "";
  expect(stored).toMatch(/^jetstream \{ store_dir: "[^"]+", sync_interval: always, /m);
  const paths = { certificatePath: "c", keyPath: "k", caPath: "a", storeDirectory: "/s" };
  expect(renderBrokerConfig(trust, { ...place, ...paths, isDurable: false })).toMatch(
    /^jetstream \{ store_dir: "\/s", max_memory_store: /m,
  );
});

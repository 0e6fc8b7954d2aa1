import { expect, test } from "vitest";
import { BROKER_CONFIG, brokerFiles, renderBrokerConfig } from "./broker-config.ts";
import { createBrokerTrust, createYardKeys } from "./identity.ts";

test("a yard's broker writes what it acknowledges to the disk", async () => {
  const trust = await createBrokerTrust(createYardKeys());
  const place = { serverName: "control1", address: "10.77.0.2", port: 4222, cluster: null };
  const files = brokerFiles(trust, place, { certificatePem: "certificate", keyPem: "key", caPem: "authority" });
  const stored = files.find(({ path }) => path === BROKER_CONFIG)?.content ?? "";
  expect(stored).toMatch(/^jetstream \{ store_dir: "[^"]+", sync_interval: always, /m);
  const paths = { certificatePath: "c", keyPath: "k", caPath: "a", storeDirectory: "/s" };
  expect(renderBrokerConfig(trust, { ...place, ...paths, isDurable: false })).toMatch(
    /^jetstream \{ store_dir: "\/s", max_memory_store: /m,
  );
});

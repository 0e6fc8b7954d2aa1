import type { ChildProcess } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { timestamp } from "#base/clock.ts";
import { silentLog } from "#base/log.ts";
import { until } from "#base/retry.ts";
import { ping } from "#contract/actions/server.ts";
import { issueCertificate } from "#control/authority/authority.ts";
import { runBroker, startBroker, type TestBroker } from "#harness/broker.ts";
import { freePort } from "#harness/ports.ts";
import { connectAgent } from "./agent.ts";
import { renderBrokerConfig } from "./broker-config.ts";
import type { AgentFabric, ControlFabric } from "./fabric.ts";
import { createBrokerTrust, credentialsForControl } from "./identity.ts";

const SITE = "127.0.0.9";
const BACK_MS = 30_000;

let folder: string;
let first: TestBroker;
let control: ControlFabric;
let leaf: ChildProcess;
let agent: AgentFabric;

/** docs/fabric.md, “A second site”, word for word. */
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "boxyard-site-"));
  const [port, leafPort] = [await freePort(SITE), await freePort(SITE)];
  first = await startBroker({
    replicas: 3,
    beside: ({ address, certificatePath, keyPath }) =>
      `leafnodes { listen: "${address}:${leafPort}", tls { cert_file: "${certificatePath}", key_file: "${keyPath}" } }\n`,
  });
  control = await first.joinAsControl();
  leaf = await runBroker(await writeLeaf({ port, leafPort }));
  const enrolment = { ...(await first.enrolmentOf("c9b1")), brokers: [`tls://${SITE}:${port}`] };
  agent = connectAgent(enrolment, { log: silentLog(), directory: join(folder, "agent"), keepEnrolment: async () => undefined });
  agent.answer(ping, async () => ({ at: timestamp(), generation: 1 }));
  await new Promise<void>((resolve) => agent.onNudge(resolve));
}, 90_000);
afterAll(async () => {
  await agent.close();
  leaf.kill("SIGKILL");
  await first.stop();
  await rm(folder, { recursive: true, force: true, maxRetries: 5 });
});

async function writeLeaf({ port, leafPort }: { readonly port: number; readonly leafPort: number }): Promise<string> {
  const path = (name: string): string => join(folder, name);
  const { jwt, seed } = await credentialsForControl(first.keys);
  const credentials = `-----BEGIN NATS USER JWT-----\n${jwt}\n------END NATS USER JWT------\n-----BEGIN USER NKEY SEED-----\n${seed}\n------END USER NKEY SEED------\n`;
  const { authority } = first;
  const { certificatePem, keyPem } = await issueCertificate(authority, {
    commonName: "site2",
    dnsNames: [],
    addresses: [SITE],
    validDays: 1,
  });
  const files = { "leaf.creds": credentials, "certificate.pem": certificatePem, "key.pem": keyPem, "ca.pem": authority.certificatePem };
  for (const [name, content] of Object.entries(files)) await writeFile(path(name), content, { mode: 0o600 });
  const trust = await createBrokerTrust(first.keys);
  const own = { serverName: "site2", address: SITE, port, storeDirectory: path("store"), cluster: null, isDurable: false };
  const config = renderBrokerConfig(trust, {
    ...own,
    certificatePath: path("certificate.pem"),
    keyPath: path("key.pem"),
    caPath: path("ca.pem"),
  });
  const urls = first.brokers.map((broker) => `"tls://${new URL(broker).hostname}:${leafPort}"`);
  const remote = `urls: [${urls}], account: ${trust.account}, credentials: "${path("leaf.creds")}", tls { ca_file: "${path("ca.pem")}" }`;
  await writeFile(path("leaf.conf"), `${config.replace(/^jetstream .*$/m, "")}leafnodes { remotes: [{ ${remote} }] }\n`);
  return path("leaf.conf");
}

async function faults(): Promise<string[]> {
  return (await control.askAll(ping, ["c9b1"], {}, { timeoutMs: 2_000 })).flatMap(({ fault }) => fault?.code ?? []);
}

test("a server at a second site, behind a leaf node, is asked, has its spec and tells its events", async () => {
  const spec = { yard: "trial", server: "c9b1", address: SITE, neighbours: [], roles: {}, brokers: [], policy: {}, generation: 3 };
  await control.putSpec(spec);
  expect(await faults()).toEqual([]);
  expect((await agent.readSpec())?.generation).toBe(3);
  await agent.publishEvent({ kind: "lost", at: timestamp(), server: "c9b1", count: 1, line: "from the second site" });
  const lines: string[] = [];
  for await (const { event } of control.readEvents({ after: 0 }, AbortSignal.timeout(10_000)))
    if (event.kind === "lost") lines.push(event.line);
  expect(lines).toEqual(["from the second site"]);
});

test("the link of a second site moves to another broker when the one it is at dies", async () => {
  for (const nth of [0, 1, 2]) {
    await first.kill(nth);
    await until("the server to answer", async () => ((await faults()).length === 0 ? true : null), { timeoutMs: BACK_MS });
    await first.restart(nth);
  }
}, 120_000);

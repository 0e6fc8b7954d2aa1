import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect, type NatsConnection } from "@nats-io/transport-node";
import { silentLog } from "#base/log.ts";
import type { Enrolment } from "#contract/enrolment.ts";
import type { Role, ServerName } from "#contract/names.ts";
import { createAuthority, issueCertificate, type KeyPair } from "#control/authority/authority.ts";
import { connectAgent } from "#fabric/agent.ts";
import { renderBrokerConfig } from "#fabric/broker-config.ts";
import { connectBus, identityCheck } from "#fabric/connection.ts";
import { connectControl } from "#fabric/control.ts";
import type { AgentFabric, ControlFabric } from "#fabric/fabric.ts";
import {
  createBrokerTrust,
  createYardKeys,
  credentialsForControl,
  credentialsForServer,
  credentialsForSystem,
  type YardKeys,
} from "#fabric/identity.ts";
import { authenticatorFor } from "#fabric/native-keys.ts";
import { freePort } from "./ports.ts";

const HOSTS = ["127.0.0.1", "127.0.0.2", "127.0.0.3"] as const;
const [HOST] = HOSTS;
const YARD = "trial";

/** A real nats-server of its own, or three that are one bus, configured as a yard's, with both ends of the fabric to connect to it. */
export interface TestBroker {
  readonly keys: YardKeys;
  /** Where it listens, and who has signed its certificate. */
  readonly brokers: readonly string[];
  readonly authority: KeyPair;
  /** The broker's process; of several, the first by default. */
  pid(nth?: number): number;
  joinAsControl(): Promise<ControlFabric>;
  /** Control's rights, without the fabric around them. */
  connectPlainly(): Promise<NatsConnection>;
  /** Gives the fabric when it is connected. */
  joinAsServer(server: ServerName, roles?: readonly Role[]): Promise<AgentFabric>;
  /** What a server is given to join; for those who connect past the fabric's own code. */
  enrolmentOf(server: ServerName, roles?: readonly Role[]): Promise<Enrolment>;
  /** Speaks to the broker with a server's credentials, past the fabric's own code, as whoever has taken the server over. */
  takeOver(server: ServerName, roles?: readonly Role[]): Promise<NatsConnection>;
  /** How many connections the broker has under this name. */
  connectionsOf(name: string): Promise<number>;
  /** Kills the broker as a power cut would. */
  kill(nth?: number): Promise<void>;
  /** Starts it again over what it had stored. */
  restart(nth?: number): Promise<void>;
  stop(): Promise<void>;
}

export interface BrokerWant {
  readonly replicas?: 1 | 3;
  /** What stands in each broker's configuration beside the yard's; told its address and where its certificate lies. */
  readonly beside?: (broker: { readonly address: string; readonly certificatePath: string; readonly keyPath: string }) => string;
}

export async function startBroker({ replicas = 1, beside = () => "" }: BrokerWant = {}): Promise<TestBroker> {
  const folder = await mkdtemp(join(tmpdir(), "boxyard-broker-"));
  const authority = await createAuthority(YARD);
  const keys = createYardKeys();
  const port = await freePort(HOST);
  const hosts = HOSTS.slice(0, replicas);
  const configPaths = await writeConfigs({ folder, authority, keys, port, hosts, beside });

  const brokers = hosts.map((host) => `tls://${host}:${port}`);
  const caPem = authority.certificatePem;
  const log = silentLog();
  const joined: { close(): Promise<void> }[] = [];
  const running = await Promise.all(configPaths.map(runBroker));
  const end = async (nth = 0): Promise<void> => {
    const broker = running[nth];
    if (broker === undefined || broker.exitCode !== null || broker.signalCode !== null) return;
    const ended = once(broker, "exit");
    broker.kill("SIGKILL");
    await ended;
  };
  const enrolmentOf = async (server: ServerName, roles: readonly Role[] = ["box"]): Promise<Enrolment> => {
    const credentials = await credentialsForServer(keys, { server, roles });
    const { certificatePem, keyPem } = await issueCertificate(authority, { commonName: server, dnsNames: [server], validDays: 1 });
    return {
      yard: YARD,
      server,
      address: HOST,
      brokers,
      credentials,
      caPem,
      certificatePem,
      keyPem,
      signerPem: keys.signerPublicPem,
    };
  };
  return {
    keys,
    brokers,
    authority,
    pid: (nth = 0) => running[nth]?.pid ?? 0,
    enrolmentOf,
    takeOver: async (server, roles) => {
      const { credentials } = await enrolmentOf(server, roles);
      const tls = { ca: caPem, ...identityCheck(brokers) };
      const inboxPrefix = `_INBOX_${server}`;
      const connection = await connect({ servers: brokers, tls, authenticator: authenticatorFor(credentials), inboxPrefix });
      joined.push(connection);
      return connection;
    },
    connectPlainly: async () => {
      const connection = await connectBus({ brokers, caPem, credentials: await credentialsForControl(keys), name: "control", log });
      joined.push(connection);
      return connection;
    },
    joinAsControl: async () => {
      const credentials = await credentialsForControl(keys);
      const signerPrivatePem = keys.signerPrivatePem;
      const fabric = await connectControl({
        brokers,
        caPem,
        credentials,
        name: "control",
        yard: YARD,
        server: "control1",
        signerPrivatePem,
        directory: join(folder, `control-${joined.length}`),
        log,
      });
      joined.push(fabric);
      return fabric;
    },
    joinAsServer: async (server, roles) => {
      const fabric = connectAgent(await enrolmentOf(server, roles), {
        log,
        directory: join(folder, server),
        keepEnrolment: async () => undefined,
      });
      joined.push(fabric);
      await new Promise<void>((resolve) => fabric.onNudge(resolve));
      // An answer, be it that control is not there, comes after the broker has taken the subscriptions.
      await fabric.readSpec().catch(() => undefined);
      return fabric;
    },
    connectionsOf: async (name) => {
      const system = await connectBus({
        brokers,
        caPem,
        log,
        credentials: await credentialsForSystem(keys),
        name: "system",
        onceMs: 5_000,
      });
      try {
        const answer = await system.request("$SYS.REQ.SERVER.PING.CONNZ", JSON.stringify({ limit: 10_000 }), { timeout: 5_000 });
        const { data } = answer.json() as { data: { connections: { name?: string }[] } };
        return data.connections.filter((connection) => connection.name === name).length;
      } finally {
        await system.close();
      }
    },
    kill: end,
    restart: async (nth = 0) => {
      running[nth] = await runBroker(configPaths[nth] ?? "");
    },
    stop: async () => {
      await Promise.all(joined.map((fabric) => fabric.close()));
      await Promise.all(running.map((_, nth) => end(nth)));
      // What a fabric still writes as it ends must not fail the removal.
      await rm(folder, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

async function writeConfigs(yard: {
  readonly folder: string;
  readonly authority: KeyPair;
  readonly keys: YardKeys;
  readonly port: number;
  readonly hosts: readonly string[];
  readonly beside: NonNullable<BrokerWant["beside"]>;
}): Promise<string[]> {
  const { folder, authority, keys, port, hosts, beside } = yard;
  const trust = await createBrokerTrust(keys);
  const certificate = await issueCertificate(authority, { commonName: "control1", dnsNames: [], addresses: [...HOSTS], validDays: 1 });
  const [certificatePath, keyPath, caPath] = ["certificate.pem", "key.pem", "ca.pem"].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ];
  await writeFile(certificatePath, certificate.certificatePem);
  await writeFile(keyPath, certificate.keyPem, { mode: 0o600 });
  await writeFile(caPath, authority.certificatePem);
  const members = hosts.map((address, nth) => ({ name: `control${nth + 1}`, address }));
  const cluster = members.length === 1 ? null : { name: YARD, port: await freePort(HOST), password: "of-the-brokers", members };
  const configPaths: string[] = [];
  for (const { name: serverName, address } of members) {
    const storeDirectory = join(folder, `store-${serverName}`);
    await mkdir(storeDirectory);
    const configPath = join(folder, `${serverName}.conf`);
    await writeFile(
      configPath,
      // Debian 12's nats-server cannot be durable; a kill, unlike a power cut, leaves what the kernel has.
      renderBrokerConfig(trust, {
        ...{ serverName, address, port, certificatePath, keyPath, caPath, storeDirectory, cluster },
        isDurable: false,
      }) + beside({ address, certificatePath, keyPath }),
    );
    configPaths.push(configPath);
  }
  return configPaths;
}

/** Its words are read for as long as it runs: a process that nobody listens to dies of what it says. */
export async function runBroker(configPath: string): Promise<ChildProcess> {
  const broker = spawn("/usr/sbin/nats-server", ["-c", configPath], { stdio: ["ignore", "ignore", "pipe"] });
  let said = "";
  await new Promise<void>((resolve, reject) => {
    broker.stderr.setEncoding("utf8").on("data", (chunk: string) => {
      said += chunk;
      if (said.includes("Server is ready")) resolve();
    });
    broker.once("error", reject);
    broker.once("exit", () => reject(new Error(`nats-server does not start: ${said}`)));
  });
  return broker;
}

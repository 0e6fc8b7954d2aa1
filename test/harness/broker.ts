import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect, type NatsConnection } from "@nats-io/transport-node";
import { silentLog } from "#base/log.ts";
import type { Enrolment } from "#contract/enrolment.ts";
import type { Role, ServerName } from "#contract/names.ts";
import { createAuthority, issueCertificate, type KeyPair } from "#control/authority/authority.ts";
import { connectAgent } from "#fabric/agent.ts";
import { connectBus, identityCheck } from "#fabric/connection.ts";
import { connectControl } from "#fabric/control.ts";
import type { AgentFabric, ControlFabric } from "#fabric/fabric.ts";
import {
  createYardKeys,
  credentialsForControl,
  credentialsForServer,
  credentialsForSystem,
  renderBrokerConfig,
  type YardKeys,
} from "#fabric/identity.ts";
import { authenticatorFor } from "#fabric/native-keys.ts";

const HOST = "127.0.0.1";
const YARD = "trial";

/** A real nats-server of its own, configured as a yard's, with both ends of the fabric to connect to it. */
export interface TestBroker {
  readonly keys: YardKeys;
  /** Where it listens, and who has signed its certificate. */
  readonly brokers: readonly string[];
  readonly authority: KeyPair;
  /** The broker's process. */
  pid(): number;
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
  kill(): Promise<void>;
  /** Starts it again over what it had stored. */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

export async function startBroker(): Promise<TestBroker> {
  const folder = await mkdtemp(join(tmpdir(), "boxyard-broker-"));
  const authority = await createAuthority(YARD);
  const certificate = await issueCertificate(authority, { commonName: "control1", dnsNames: [], addresses: [HOST], validDays: 1 });
  const keys = createYardKeys();
  const port = await freePort();
  const paths = {
    certificatePath: join(folder, "certificate.pem"),
    keyPath: join(folder, "key.pem"),
    storeDirectory: join(folder, "store"),
  };
  await mkdir(paths.storeDirectory);
  await writeFile(paths.certificatePath, certificate.certificatePem);
  await writeFile(paths.keyPath, certificate.keyPem, { mode: 0o600 });
  const configPath = join(folder, "nats-server.conf");
  await writeFile(configPath, await renderBrokerConfig(keys, { serverName: "control1", address: HOST, port, ...paths }));

  const brokers = [`tls://${HOST}:${port}`];
  const caPem = authority.certificatePem;
  const log = silentLog();
  const joined: { close(): Promise<void> }[] = [];
  let broker = await run(configPath);
  const end = async (): Promise<void> => {
    if (broker.exitCode !== null || broker.signalCode !== null) return;
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
    pid: () => broker.pid ?? 0,
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
        keepCredentials: async () => undefined,
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
    restart: async () => {
      broker = await run(configPath);
    },
    stop: async () => {
      await Promise.all(joined.map((fabric) => fabric.close()));
      await end();
      // What a fabric still writes as it ends must not fail the removal.
      await rm(folder, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

/** Its words are read for as long as it runs: a process that nobody listens to dies of what it says. */
async function run(configPath: string): Promise<ChildProcess> {
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

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, HOST);
  await once(probe, "listening");
  const address = probe.address();
  probe.close();
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}

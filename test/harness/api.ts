import { expect } from "vitest";
import { silentLog } from "#base/log.ts";
import { Cluster } from "#contract/api/clusters.ts";
import type { ControlConfig } from "#contract/control-config.ts";
import { FaultReport } from "#contract/fault.ts";
import { RequestLine } from "#contract/request.ts";
import { createApp } from "#control/api/serve.ts";
import { issueCertificate } from "#control/authority/authority.ts";
import { BusKeys } from "#control/authority/bus-keys.ts";
import type { Coordinator } from "#control/deploy/coordinator.ts";
import { Requests } from "#control/requests/run.ts";
import type { Secrets } from "#control/secrets.ts";
import type { Store } from "#control/store/schema.ts";
import { addServer } from "#control/store/servers.ts";
import type { ControlFabric } from "#fabric/fabric.ts";
import { createBrokerTrust } from "#fabric/identity.ts";
import { startBroker, type TestBroker } from "./broker.ts";
import { startQuickly } from "./deployments.ts";
import { startPostgres, type TestPostgres } from "./postgres.ts";

/** The operator's. */
export const TOKEN = "a-token-of-the-operator";
const SUBNET = "10.99.0.0/24";

export interface ApiAnswer {
  readonly status: number;
  readonly body: unknown;
}

/** The API of control over a real database and a real broker. */
export class TestApi {
  readonly broker: TestBroker;
  readonly fabric: ControlFabric;
  app!: ReturnType<typeof createApp>;
  /** How often rows were changed since the last fresh start. */
  changes = 0;
  readonly #postgres: TestPostgres;
  #store: Store | undefined;
  readonly #secrets: Secrets;
  #deployer: Coordinator | undefined;

  static async start(): Promise<TestApi> {
    const [postgres, broker] = await Promise.all([startPostgres(), startBroker()]);
    const { authority } = broker;
    const server = await issueCertificate(authority, { commonName: "control1", dnsNames: ["control1"], validDays: 1 });
    const secrets = {
      authority,
      server,
      defaultWebsite: server,
      peers: authority,
      keys: broker.keys,
      broker: { trust: await createBrokerTrust(broker.keys), password: "of-the-brokers" },
      operatorToken: TOKEN,
    };
    return new TestApi(postgres, broker, await broker.joinAsControl(), secrets);
  }

  private constructor(postgres: TestPostgres, broker: TestBroker, fabric: ControlFabric, secrets: Secrets) {
    this.#postgres = postgres;
    this.broker = broker;
    this.fabric = fabric;
    this.#secrets = secrets;
  }

  /** Begins with the backends of an empty yard. */
  async freshStart(): Promise<void> {
    await this.#deployer?.stop();
    const store = await this.#postgres.emptyStore();
    this.#deployer = startQuickly(store, this.fabric);
    const hostKey = { privateKey: "", publicKey: "ssh-ed25519 AAAA" };
    await addServer(store, SUBNET, { name: "control1", roles: ["control"], cluster: null, hostKey: null }, "10.99.0.2");
    await addServer(store, SUBNET, { name: "git1", roles: ["git"], cluster: null, hostKey });
    await addServer(store, SUBNET, { name: "edge1", roles: ["edge"], cluster: null, hostKey: null });
    this.#store = store;
    this.changes = 0;
    this.app = createApp({
      config: { subnet: SUBNET, address: "10.99.0.2", yard: "trial", server: "control1" } as ControlConfig,
      secrets: this.#secrets,
      store,
      fabric: this.fabric,
      busKeys: new BusKeys({ store, secrets: this.#secrets, fabric: this.fabric, brokers: this.broker.brokers, log: silentLog() }),
      readmit: async () => undefined,
      requests: new Requests({ store, fabric: this.fabric }),
      deployer: this.#deployer,
      log: silentLog(),
      version: "test",
      onRowsChanged: async () => {
        this.changes++;
      },
      brokers: () => [],
      controls: () => [],
      confirmLead: () => undefined,
      troubles: () => [],
      absenceOf: () => null,
      behindMs: () => 0,
      isRestarting: () => false,
    });
  }

  /** Of the last fresh start. */
  get store(): Store {
    if (this.#store === undefined) throw new Error("begin with a fresh start");
    return this.#store;
  }

  async ask(method: string, path: string, input?: unknown, token = TOKEN): Promise<ApiAnswer> {
    const body = typeof input === "string" ? input : JSON.stringify(input);
    const response = await this.app.request(path, {
      method,
      headers: { authorization: `Bearer ${token}` },
      ...(input === undefined ? {} : { body }),
    });
    return { status: response.status, body: await response.json() };
  }

  /** The fault of a request that must fail; every error answer has the contract's shape. */
  async faultOf(method: string, path: string, input?: unknown, token = TOKEN): Promise<{ status: number; code: string; message: string }> {
    const { status, body } = await this.ask(method, path, input, token);
    expect(status).toBeGreaterThanOrEqual(400);
    return { status, ...FaultReport.strict().parse(body) };
  }

  /** All lines of a request's answer. */
  async request(input: object, token = TOKEN): Promise<RequestLine[]> {
    const response = await this.app.request("/v1/requests", {
      method: "POST",
      headers: { authorization: `Bearer ${token}` },
      body: JSON.stringify(input),
    });
    expect(response.status).toBe(200);
    const lines = (await response.text()).trimEnd().split("\n");
    return lines.map((line) => RequestLine.parse(JSON.parse(line)));
  }

  async newCluster(boxes = 1): Promise<Cluster> {
    const { status, body } = await this.ask("POST", "/v1/clusters", { boxes });
    expect(status).toBe(200);
    return Cluster.parse(body);
  }

  async stop(): Promise<void> {
    await this.#deployer?.stop();
    await Promise.all([this.#postgres.stop(), this.broker.stop()]);
  }
}

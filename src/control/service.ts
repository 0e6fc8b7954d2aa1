import { timestamp } from "#base/clock.ts";
import { reportFault } from "#base/fault.ts";
import type { Log } from "#base/log.ts";
import { loop } from "#base/loop.ts";
import { clouds } from "#cloud/clouds.ts";
import type { Cloud } from "#cloud/driver.ts";
import { serviceRestart } from "#contract/actions/service.ts";
import type { ControlConfig } from "#contract/control-config.ts";
import type { Role, ServerName } from "#contract/names.ts";
import type { ControlFabric } from "#fabric/fabric.ts";
import { serveApi } from "./api/serve.ts";
import { BusKeys } from "./authority/bus-keys.ts";
import { renewCertificates } from "./authority/website-certificate.ts";
import { type BusMember, brokerUrls, clusterOf, controlServers } from "./brokers/members.ts";
import { BrokerWatch } from "./brokers/watch.ts";
import type { Builders } from "./deploy/context.ts";
import { startCoordinator } from "./deploy/coordinator.ts";
import { makeHostKey } from "./host-key.ts";
import { hostProtection } from "./host-protection.ts";
import { API_PORT, BROKER_PORT } from "./ports.ts";
import { Attendance } from "./provision/attendance.ts";
import { Provisioner, type ProvisionOptions } from "./provision/provisioner.ts";
import { Planning } from "./publish/planning.ts";
import { Publisher } from "./publish/publish.ts";
import { tendJobLeases } from "./requests/governors.ts";
import { Requests } from "./requests/run.ts";
import { Rotation } from "./rotation/rotation.ts";
import type { Secrets } from "./secrets.ts";
import { Standbys } from "./standbys.ts";
import { appendAudit } from "./store/audit.ts";
import { ensureBuilder, retireBuilders } from "./store/builders.ts";
import { learnBusKeys } from "./store/bus-keys.ts";
import type { Store } from "./store/schema.ts";
import { addServer, setServerRoles } from "./store/servers.ts";
import { Waves } from "./waves/waves.ts";

export interface ServiceOptions {
  readonly config: ControlConfig;
  readonly secrets: Secrets;
  /** Servers whose brokers are the bus. */
  readonly members: readonly BusMember[];
  readonly store: Store;
  readonly fabric: ControlFabric;
  readonly version: string;
  readonly log: Log;
  /** Asked before anybody is answered; does not return when another control server may lead by now. */
  readonly confirmLead: () => void;
}

const LOOK_AGAIN_MS = 10_000;
const TEND_MS = 3_000;
const KEYS_MS = 60_000;

/** The control service: planner, provisioner, deployments and API on top of the store and the fabric. */
export async function startService(options: ServiceOptions): Promise<{ stop(): Promise<void> }> {
  const { config, secrets, store, fabric, log } = options;
  await ensureBackends(options);
  await learnBusKeys(store);
  const onFault = (what: string) => (thrown: unknown) => log.error({ fault: reportFault(thrown) }, what);
  const publisher = makePublisher(options);
  const { busKeys, brokerWatch } = makeBusTending(options);
  const { attendance, provisioner } = makeProvisioner(options, {
    busKeys,
    withdraw: (server) => publisher.withdraw(server),
    onRowsChanged: () => planning.nudge(),
  });
  const prepare = (): Promise<void> => renewCertificates(store, secrets.authority);
  const planning = new Planning({ publisher, prepare, everyMs: LOOK_AGAIN_MS, log });
  const provisioning = loop({ work: () => provisioner.turn(), everyMs: LOOK_AGAIN_MS, onFault: onFault("provisioning failed") });
  const onRowsChanged = async (): Promise<void> => {
    await planning.plan();
    provisioning.nudge();
  };
  const tending = loop({ work: () => tendJobLeases(store, fabric), everyMs: TEND_MS, onFault: onFault("leases of jobs are not tended") });
  const keysTending = loop({ work: () => busKeys.tend(), everyMs: KEYS_MS, onFault: onFault("keys of the bus are not tended") });
  const auditing = loop({
    work: (signal) => auditRefusals(options, signal),
    everyMs: TEND_MS,
    onFault: onFault("refusals are not audited"),
  });
  const standbys = new Standbys({ store, servers: controlServers(config), leads: config.server, log });
  const turning = [attendance, tending, keysTending, auditing, planning, provisioning, brokerWatch, standbys];
  for (const one of turning) one.start();
  // A leaving box is retired when its caches' heartbeats say that they have converged.
  const unsubscribe = fabric.onRegistryChange(() => provisioning.nudge());
  // Unlike planning.plan() it throws when the rows cannot be planned: a fence counts as confirmed only with a plan that has it.
  const plan = async (): Promise<void> => {
    await publisher.plan();
    planning.nudge();
  };
  const { rotation, waves } = makeRotation(options, { plan, brokerWatch });
  rotation.start();
  waves.start();
  const builders = makeBuilders(options, onRowsChanged);
  const coordinator = startCoordinator({ store, fabric, log, rotation, onRowsChanged: () => planning.nudge(), builders });
  const api = serveApi(
    {
      ...options,
      busKeys,
      readmit: (server) => provisioner.readmit(server),
      requests: new Requests(options),
      deployer: coordinator,
      onRowsChanged,
      brokers: () => brokerWatch.states(),
      controls: () => standbys.states(),
      absenceOf: (server) => attendance.absenceOf(server),
      behindMs: (server) => attendance.behindMs(server),
      isRestarting: (server) => waves.isRestarting(server),
      troubles: () =>
        [waves, brokerWatch, standbys, provisioner, planning, fabric, hostProtection(fabric)].flatMap((one) => one.troubles()),
    },
    { address: config.address, port: API_PORT },
  );
  return {
    stop: async () => {
      unsubscribe();
      await api.stop();
      await coordinator.stop();
      await waves.stop();
      await rotation.stop();
      await Promise.all(turning.map((one) => one.stop()));
    },
  };
}

function cloudOf({ cloud: { driver, project, network, pool, ...endpoint } }: ControlConfig): Cloud {
  return clouds[driver]({ endpoint, project, network, pool });
}

type ProvisionerNeeds = Pick<ProvisionOptions, "busKeys" | "withdraw" | "onRowsChanged">;

function makeProvisioner({ config, secrets, members, store, fabric, log }: ServiceOptions, needs: ProvisionerNeeds) {
  const cloud = cloudOf(config);
  const attendance = new Attendance({ store, fabric, cloud, log });
  const brokers = brokerUrls(members);
  return { attendance, provisioner: new Provisioner({ ...needs, attendance, config, secrets, brokers, store, fabric, cloud, log }) };
}

/** What restarts is out of rotation until it has. */
function makeRotation(
  { store, fabric, log }: ServiceOptions,
  { plan, brokerWatch }: { readonly plan: () => Promise<void>; readonly brokerWatch: BrokerWatch },
): { rotation: Rotation; waves: Waves } {
  const rotation = new Rotation({ store, fabric, log, plan, keepsFenced: (row) => waves.keepsFenced(row) });
  const areBrokersWell = (): boolean => brokerWatch.troubles().length === 0;
  const waves: Waves = new Waves({ store, fabric, log, rotation, areBrokersWell });
  return { rotation, waves };
}

/** What servers were sent and refused is in the audit, too: nobody but control should send them anything. */
function auditRefusals({ fabric, store }: ServiceOptions, signal: AbortSignal): Promise<void> {
  return fabric.consumeRefusals(
    ({ server, action, code, line, count }) =>
      appendAudit(store, {
        request: "-",
        caller: "unknown",
        action,
        target: server,
        kind: "refused",
        details: { fault: `${code}: ${line}`, count },
      }),
    signal,
  );
}

function makeBuilders({ store, config }: ServiceOptions, onRowsChanged: () => Promise<void>): Builders {
  return {
    ensure: async (site) => {
      const { name, isNew } = await ensureBuilder(store, config.subnet, site);
      if (isNew) await onRowsChanged();
      return name;
    },
    retire: async () => {
      if (await retireBuilders(store)) await onRowsChanged();
    },
  };
}

function makePublisher({ config, secrets, members, store, fabric }: ServiceOptions): Publisher {
  const { certificatePem: chainPem, keyPem } = secrets.defaultWebsite;
  const cluster = clusterOf(config, secrets);
  const broker = cluster === null ? null : { port: BROKER_PORT, trust: secrets.broker.trust, cluster };
  const defaultCertificate = { chainPem, keyPem };
  return new Publisher({ store, fabric, yard: config.yard, defaultCertificate, brokers: brokerUrls(members), broker });
}

/** Restarts a server's broker that did not catch up. */
async function restartBroker(fabric: ControlFabric, server: ServerName): Promise<void> {
  const [answer] = await fabric.askAll(serviceRestart, [server], { service: "nats-server" });
  const fault = answer?.fault?.message ?? null;
  await fabric.publishEvent({ kind: "server", at: timestamp(), server, change: { what: "broker-restarted", fault } });
}

/** A broker that is back may have missed which keys were revoked. */
function makeBusTending({ config, secrets, members, store, fabric, log }: ServiceOptions): { busKeys: BusKeys; brokerWatch: BrokerWatch } {
  const brokers = brokerUrls(members);
  const busKeys = new BusKeys({ store, secrets, fabric, brokers, log });
  const onFault = (thrown: unknown): void => log.error({ fault: reportFault(thrown) }, "brokers are not told of revoked keys");
  const onBack = (): void => void busKeys.announce().catch(onFault);
  const onStuck = (server: ServerName): void => void restartBroker(fabric, server);
  return {
    busKeys,
    brokerWatch: new BrokerWatch({ secrets, wanted: controlServers(config), joined: members, brokers, log, onBack, onStuck }),
  };
}

/** The servers that every yard has. */
async function ensureBackends({ config, store }: ServiceOptions): Promise<void> {
  const { subnet } = config;
  for (const [nth, { name, address }] of controlServers(config).entries()) {
    // The first one's broker is made by setup, before there is anybody to converge it.
    const roles: Role[] = nth === 0 ? ["control"] : ["control", "broker"];
    await addServer(store, subnet, { name, roles, cluster: null, hostKey: null }, address);
    await setServerRoles(store, name, roles);
  }
  await addServer(store, subnet, { name: "edge1", roles: ["edge"], cluster: null, hostKey: null });
  await addServer(store, subnet, { name: "db1", roles: ["database"], cluster: null, hostKey: null });
  await addServer(store, subnet, { name: "git1", roles: ["git"], cluster: null, hostKey: await makeHostKey("git1") });
}

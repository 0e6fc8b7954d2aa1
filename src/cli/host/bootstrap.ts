import { setTimeout as sleep } from "node:timers/promises";
import { Fault } from "#base/fault.ts";
import { until } from "#base/retry.ts";
import { bootFiles } from "#cloud/boot-files.ts";
import type { Cloud, ServerWant } from "#cloud/driver.ts";
import { incusCloud } from "#cloud/incus/cloud.ts";
import type { Connection } from "#cloud/incus/connection.ts";
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
} from "#cloud/incus/host.ts";
import { ensureKernelSettings } from "#cloud/incus/kernel-settings.ts";
import { ensureTemplate, ensureYardCertificate, ensureYardProject, yardCloudNames } from "#cloud/incus/yard.ts";
import {
  CONTROL_CONFIG_PATH,
  type ControlConfig,
  type ControlReplicas,
  OPERATOR_ACCESS_PATH,
  OperatorAccess,
} from "#contract/control-config.ts";
import { ENROLMENT_PATH } from "#contract/enrolment.ts";
import { CONTROL_SERVER, CONTROL_SERVERS, ensureBrokers } from "./brokers.ts";
import { ensureControls } from "./controls.ts";
import { type FirstPlace, findFirstPlace } from "./lost.ts";
import { ensurePackageSources } from "./package-sources.ts";
import { ensureRuntime, runtimeHash } from "./runtime.ts";
import { findYardState, writeYardState, type YardState } from "./yard-state.ts";

const RUNTIME_VOLUME = "runtime";
const CONTROL_START_MS = 120_000;
/** A server that takes the place of a lost one copies the database. */
const SETUP_MS = 300_000;

/** What the bootstrap steps hand on to each other. */
export interface Bootstrap {
  readonly yard: string;
  readonly subnet: string | undefined;
  /** As asked for; the yard's own setting by default. */
  readonly replicas: ControlReplicas | undefined;
  daemon?: Daemon;
  connection?: Connection;
  state?: YardState;
  image?: string;
  template?: string;
}

/** Says how a step stands. What takes minutes is said at once: without a terminal, the rest is read when the step has ended. */
export type Note = (text: string, when?: "at once") => void;

/** One step of making a yard; may be repeated, and changes nothing when all is as it should be. */
export interface BootstrapStep {
  readonly title: string;
  readonly run: (made: Bootstrap, note: Note) => Promise<void>;
}

/** From a bare machine to a control service that answers. */
export const bootstrapSteps: readonly BootstrapStep[] = [
  {
    title: "Packages of the host",
    run: async (made) => {
      made.daemon = await chooseDaemon();
      await ensureHostPackages(made.daemon);
    },
  },
  {
    title: "Cloud daemon",
    run: async (made, note) => {
      await ensureKernelSettings();
      made.connection = await ensureDaemon(daemonOf(made));
      await ensurePool(made.connection, daemonOf(made));
      note(daemonOf(made).name);
    },
  },
  {
    title: "Server image",
    run: async (made, note) => {
      made.image = await ensureImage(connectionOf(made), daemonOf(made), {
        onBuild: () => note("building it, which takes some minutes and is done once", "at once"),
        onWait: () => note("waiting for another bin/up of this machine, which builds it", "at once"),
      });
      note(made.image);
    },
  },
  { title: "Project and network", run: ensureNetwork },
  {
    title: "Template",
    run: async (made) => {
      made.template = await ensureTemplate(connectionOf(made), daemonOf(made), made.yard, given(made.image));
    },
  },
  { title: "Control server", run: ensureControlServer },
  { title: "Runtime", run: ensureCurrentRuntime },
  { title: "Control service", run: ensureControlAnswers },
  { title: "Brokers", run: (made, note) => ensureBrokers({ cloud: hostCloud(made), replicas: given(made.state).control.replicas, note }) },
  { title: "Control servers", run: ensureAllControls },
];

/** The yard's cloud with the rights of this machine's root. */
function hostCloud(made: Bootstrap): Cloud {
  return incusCloud({ endpoint: { socket: daemonOf(made).socket }, ...yardCloudNames(made.yard), pool: POOL });
}

async function ensureNetwork(made: Bootstrap, note: Note): Promise<void> {
  const known = await findYardState(made.yard);
  if (known !== null && made.subnet !== undefined && made.subnet !== known.subnet) {
    throw new Fault("yard.other-subnet", `yard ${made.yard} has subnet ${known.subnet} already`, {
      next: `leave --subnet out, or remove the yard first: bin/down --yard ${made.yard}`,
    });
  }
  const replicas = made.replicas ?? known?.control.replicas ?? 1;
  if (known?.control.replicas === 3 && replicas === 1) throw oneWay(made.yard);
  const subnet = known?.subnet ?? (await chooseSubnet(connectionOf(made), made.subnet));
  const addresses = { subnet, gateway: hostOf(subnet, 1), controlAddress: hostOf(subnet, 2) };
  const state: YardState = { ...(known ?? { yard: made.yard, ...addresses }), control: { replicas } };
  // Written before anything is made, so that bin/down and a second bin/up know what a broken first one has begun.
  await writeYardState(state);
  await ensureYardProject(connectionOf(made), made.yard, state.gateway, prefixLengthOf(subnet));
  made.state = { ...state, cloudCertificate: await ensureYardCertificate(connectionOf(made), made.yard, state.cloudCertificate) };
  if (known?.cloudCertificate === undefined) await writeYardState(made.state);
  note(subnet);
}

async function ensureControlServer(made: Bootstrap, note: Note): Promise<void> {
  const state = given(made.state);
  const cloud = hostCloud(made);
  const { certificatePem } = await ensureHttps(connectionOf(made));
  const place = await findFirstPlace(cloud, made.yard);
  if (place.rejoins) note("in place of one that is lost");
  // Without secrets it does nothing; what it is given is there before it starts.
  if (place.rejoins && (await isRunning(cloud))) await cloud.stopServer(CONTROL_SERVER, { isForced: true });
  await cloud.ensureVolume(RUNTIME_VOLUME);
  await cloud.ensureServer({
    name: CONTROL_SERVER,
    template: given(made.template),
    address: state.controlAddress,
    guard: "address",
    volumes: [{ volume: RUNTIME_VOLUME, path: "/opt/boxyard", isReadOnly: false }],
    ...(await cloudDoor(made)),
    files: [
      ...bootFiles({
        name: CONTROL_SERVER,
        address: state.controlAddress,
        prefixLength: prefixLengthOf(state.subnet),
        gateway: state.gateway,
      }),
      { path: CONTROL_CONFIG_PATH, mode: 0o600, content: JSON.stringify(controlConfig(made, certificatePem, place), null, 2) },
      ...place.files,
    ],
  });
  // A yard whose daemon was gone comes back here.
  for (const server of await cloud.listServers())
    if (!server.isRunning && !server.name.startsWith("template-") && (await hasBegun(cloud, server.name)))
      await cloud.startServer(server.name);
}

/** Whether it has all that it starts with; whose enrolment is not there is still being made, by control. */
async function hasBegun(cloud: Cloud, server: string): Promise<boolean> {
  return (await cloud.readFile(server, ENROLMENT_PATH).catch(() => null)) !== null;
}

async function isRunning(cloud: Cloud): Promise<boolean> {
  return (await cloud.listServers()).some(({ name, isRunning }) => name === CONTROL_SERVER && isRunning);
}

/** How control reaches the cloud, of which only the host has the address. */
async function cloudDoor(made: Bootstrap): Promise<Required<Pick<ServerWant, "proxies">>> {
  const { url } = await ensureHttps(connectionOf(made));
  return { proxies: [{ name: "cloud-api", listen: "tcp:127.0.0.1:8443", connect: url.replace("https://", "tcp:") }] };
}

async function ensureAllControls(made: Bootstrap, note: Note): Promise<void> {
  const { replicas } = given(made.state).control;
  const server = { template: given(made.template), ...(await cloudDoor(made)) };
  await ensureControls({ cloud: hostCloud(made), replicas, server, note });
  await keepAccess(made);
}

async function ensureCurrentRuntime(made: Bootstrap, note: Note): Promise<void> {
  const cloud = hostCloud(made);
  await until("the control server to boot", async () => ((await cloud.execute(CONTROL_SERVER, ["true"])).exitCode === 0 ? true : null), {
    timeoutMs: 30_000,
  });
  const hash = await runtimeHash();
  const hasChanged = await ensureRuntime(cloud, CONTROL_SERVER, hash);
  const running = (await cloud.listServers()).filter(({ isRunning }) => isRunning).map(({ name }) => name);
  // Kept when all have restarted: a run that is broken off before that is finished by the next one.
  const isNew = hasChanged || given(made.state).runtime !== hash;
  note(isNew ? `${hash}, new` : hash);
  if (isNew) {
    await keepRuntime(made, undefined);
    await restartOnNewRuntime(cloud, running);
    await keepRuntime(made, hash);
  }
  await ensurePackageSources(cloud, running);
}

async function keepRuntime(made: Bootstrap, runtime: string | undefined): Promise<void> {
  made.state = { ...given(made.state), runtime };
  await writeYardState(made.state);
}

/** Control first: its agents' contract is additive, so that a new control serves old agents while they restart. */
async function restartOnNewRuntime(cloud: Cloud, running: readonly string[]): Promise<void> {
  for (const server of running.filter((name) => CONTROL_SERVERS.includes(name)))
    for (const service of ["boxyard-control-setup", "boxyard-control"])
      await cloud.execute(server, ["systemctl", "restart", service], { timeoutMs: SETUP_MS });
  for (const server of running) await cloud.execute(server, ["systemctl", "try-restart", "boxyard-agent"]);
}

async function ensureControlAnswers(made: Bootstrap, note: Note): Promise<void> {
  const cloud = hostCloud(made);
  await cloud.execute(CONTROL_SERVER, ["systemctl", "start", "boxyard-control"], { timeoutMs: SETUP_MS });
  const deadline = Date.now() + CONTROL_START_MS;
  while (!(await keepAccess(made))) {
    if (Date.now() > deadline) throw await controlFault(cloud);
    await sleep(200);
  }
  note(given(made.state?.urls).join(", "));
}

/** What opens the API, for this machine's operator; false when setup has not made it yet. */
async function keepAccess(made: Bootstrap): Promise<boolean> {
  const file = await hostCloud(made).readFile(CONTROL_SERVER, OPERATOR_ACCESS_PATH);
  if (file === null) return false;
  made.state = { ...given(made.state), ...OperatorAccess.parse(JSON.parse(new TextDecoder().decode(file))) };
  await writeYardState(made.state);
  return true;
}

async function controlFault(cloud: Cloud): Promise<Fault> {
  const { stdout } = await cloud.execute(CONTROL_SERVER, ["journalctl", "-u", "boxyard-control*", "-n", "20", "-o", "cat", "--no-pager"]);
  return new Fault(
    "control.not-starting",
    `the control service has not started within ${CONTROL_START_MS / 1000} s; it last said:\n${stdout.trim()}`,
  );
}

function oneWay(yard: string): Fault {
  return new Fault("yard.replicas-stay", `yard ${yard} has three control servers, and does not go back to one`, {
    next: "leave --control-replicas out; a yard of one is made anew, under another name",
  });
}

function controlConfig(made: Bootstrap, serverCertificatePem: string, { replicatedDatabase, rejoins }: FirstPlace): ControlConfig {
  const { yard, subnet, gateway, controlAddress, control, cloudCertificate } = given(made.state);
  return {
    yard,
    server: CONTROL_SERVER,
    address: controlAddress,
    subnet,
    gateway,
    replicas: control.replicas,
    replicatedDatabase,
    rejoins,
    cloud: {
      driver: "incus",
      url: "https://127.0.0.1:8443",
      ...yardCloudNames(yard),
      pool: POOL,
      ...given(cloudCertificate),
      serverCertificatePem,
    },
    template: given(made.template),
    runtimeVolume: RUNTIME_VOLUME,
  };
}

function daemonOf(made: Bootstrap): Daemon {
  return given(made.daemon);
}

function connectionOf(made: Bootstrap): Connection {
  return given(made.connection);
}

/** A value that an earlier step has set. */
function given<T>(value: T | undefined): T {
  if (value === undefined) throw new Error("a bootstrap step ran before the one that it needs");
  return value;
}

function hostOf(subnet: string, host: number): string {
  return subnet.replace(/\d+\/\d+$/, String(host));
}

function prefixLengthOf(subnet: string): number {
  return Number(subnet.split("/")[1]);
}

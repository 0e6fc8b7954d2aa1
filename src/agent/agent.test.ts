import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Fault } from "#base/fault.ts";
import { silentLog } from "#base/log.ts";
import { until } from "#base/retry.ts";
import { agentRestart } from "#contract/actions/agent.ts";
import { banPages } from "#contract/actions/cache.ts";
import { converge, ping, status } from "#contract/actions/server.ts";
import type { Enrolment } from "#contract/enrolment.ts";
import type { ServerSpec } from "#contract/spec/server.ts";
import type { ServerStatus } from "#contract/status.ts";
import { type MemoryBus, type MemoryServerEnd, memoryBus } from "#fabric/memory/bus.ts";
import { sayHowToRepeat } from "#harness/say-how-to-repeat.ts";
import { SEED } from "#harness/seed.ts";
import { VirtualClock } from "#harness/virtual-clock.ts";
import { Agent, type AgentOptions } from "./agent.ts";
import type { Resource } from "./converge/resource.ts";
import { readFacts } from "./facts.ts";
import { Ledger } from "./ledger.ts";
import type { RoleContext, RunningRole } from "./roles/role.ts";

type Table = NonNullable<AgentOptions["roles"]>;

const SERVER = "c1b1";
const enrolment = { yard: "trial", server: SERVER, caPem: "authority" } as Enrolment;

function specOf(generation: number, roles: ServerSpec["roles"] = { control: {} }): ServerSpec {
  return { yard: "trial", server: SERVER, address: "10.77.0.9", neighbours: [], roles, brokers: ["tls://a:1"], policy: {}, generation };
}

/** Roles of a test: with what and how often they were started, and a resource that fails on demand. */
class Roles {
  readonly contexts: RoleContext[] = [];
  readonly turns: number[] = [];
  starts = 0;
  looks = 0;
  stops = 0;
  startFault: Fault | null = null;
  applyFault: Fault | null = null;
  release: string | null = null;
  /** Whether the resource is as wanted. */
  isRight = true;
  holdTurns: Promise<void> = Promise.resolve();

  readonly #start = async (context: RoleContext): Promise<RunningRole<unknown>> => {
    this.starts++;
    if (this.startFault !== null) throw this.startFault;
    this.contexts.push(context);
    return {
      groups: (_spec, { generation }) => {
        this.turns.push(generation);
        return [{ name: "trial", resources: [this.#resource()] }];
      },
      releases: () => ({ s1: this.release }),
      look: () => void this.looks++,
      stop: async () => void this.stops++,
    };
  };

  #resource(): Resource {
    return {
      id: "thing",
      mismatch: async () => {
        await this.holdTurns;
        return this.isRight ? null : "is wrong";
      },
      apply: async () => {
        if (this.applyFault !== null) throw this.applyFault;
        this.isRight = true;
      },
    };
  }

  table(): Table {
    return { control: async () => this.#start, edge: async () => this.#start } as Table;
  }
}

/** The disk takes no virtual time. */
class PacedLedger extends Ledger {
  override readSpec(): Promise<ServerSpec | null> {
    return clock.outside(() => super.readSpec());
  }
  override writeSpec(spec: ServerSpec): Promise<void> {
    return clock.outside(() => super.writeSpec(spec));
  }
}

let clock: VirtualClock;
let folder: string;
let ledger: Ledger;
let bus: MemoryBus;
let end: MemoryServerEnd;
let roles: Roles;
let agent: Agent | undefined;
let restarts = 0;
const control = () => bus.joinAsControl();

beforeEach(async () => {
  sayHowToRepeat();
  folder = await mkdtemp(join(tmpdir(), "boxyard-agent-"));
  clock = new VirtualClock(SEED);
  clock.start();
  ledger = new PacedLedger(folder);
  bus = memoryBus(clock);
  end = bus.joinAsServer(SERVER);
  roles = new Roles();
  restarts = 0;
});
afterEach(async () => {
  await agent?.stop();
  agent = undefined;
  await clock.stop();
  await rm(folder, { recursive: true, force: true });
});

async function start(table: Table = roles.table()): Promise<Agent> {
  agent = new Agent(enrolment, end, {
    log: silentLog(),
    restart: () => void restarts++,
    ledger,
    roles: table,
    common: () => [{ name: "common", resources: [] }],
    facts: (maxAgeMs) => clock.outside(() => readFacts(maxAgeMs)),
    clock,
  });
  await agent.start();
  return agent;
}

/** Waits until what the server says of itself is so. */
function said(what: string, isSo: (status: ServerStatus) => boolean): Promise<ServerStatus> {
  return until(
    what,
    async () => {
      const heard = control().registry().get(SERVER);
      return heard !== undefined && isSo(heard) ? heard : null;
    },
    { timeoutMs: 20_000, everyMs: 10, clock },
  );
}

/** Waits until it is so. */
async function becomes(what: string, isSo: () => boolean | undefined): Promise<void> {
  await until(what, async () => (isSo() ? true : null), { timeoutMs: 60_000, everyMs: 10, clock });
}

const reached = (generation: number) => said(`generation ${generation}`, (one) => one.generation === generation);

describe("an agent's spec", () => {
  test("comes from the bus, is kept, and reached", async () => {
    await control().putSpec(specOf(3));
    await start();
    expect(await reached(3)).toMatchObject({ server: SERVER, generation: 3, targetGeneration: 3, faults: [], roles: ["control"] });
    expect(await ledger.readSpec()).toMatchObject({ generation: 3 });
    expect(end.brokers).toEqual(["tls://a:1"]);
  });

  test("comes from the disk while the bus is away, and counts as unconfirmed until the bus is back", async () => {
    await ledger.writeSpec(specOf(3));
    end.cutOff();
    await start();
    await becomes("a turn", () => roles.turns.length > 0);
    const [context] = roles.contexts;
    expect(context?.currentSpec()).toMatchObject({ generation: 3 });
    expect(context?.isConfirmed()).toBe(false);
    await becomes("the turn's end", () => context?.isConverged());
    expect(control().registry().size).toBe(0);

    await control().putSpec(specOf(3));
    const looks = roles.looks;
    end.bringBack();
    await becomes("the confirmation", () => context?.isConfirmed());
    expect(roles.looks).toBeGreaterThan(looks);
    await reached(3);
  });

  test("that is older than the known one is refused", async () => {
    await ledger.writeSpec(specOf(5));
    bus.specs.set(SERVER, specOf(4));
    await start();
    await reached(5);
    expect(roles.contexts[0]?.isConfirmed()).toBe(false);
    expect(roles.contexts[0]?.currentSpec()?.generation).toBe(5);
    expect((await ledger.readSpec())?.generation).toBe(5);
    expect(new Set(roles.turns)).toEqual(new Set([5]));
  });

  test("that is newer is reached after a nudge", async () => {
    await control().putSpec(specOf(1));
    await start();
    await reached(1);
    await control().putSpec(specOf(2));
    await reached(2);
    expect((await ledger.readSpec())?.generation).toBe(2);
  });

  test("that cannot be stored is used all the same", async () => {
    await writeFile(join(folder, "file"), "");
    ledger = new Ledger(join(folder, "file", "ledger"));
    await control().putSpec(specOf(1));
    await start();
    await reached(1);
  });

  test("that the bus does not give is asked for again without a nudge; until then the known one counts", async () => {
    await ledger.writeSpec(specOf(1));
    bus.specs.set(SERVER, specOf(2));
    end.failSpecs(new Fault("fabric.no-control", "no control answers"));
    await start();
    await reached(1);
    end.failSpecs();
    await reached(2);
  });

  test("does not exist yet: its generation is 0, and no role starts", async () => {
    await start();
    const [pong] = await control().askAll(ping, [SERVER], {});
    expect(pong?.output?.generation).toBe(0);
    const heard = await said("a heartbeat", () => true);
    expect(heard).toMatchObject({ generation: 0, targetGeneration: 0, roles: [], releases: {} });
    expect(roles.starts).toBe(0);
  });
});

describe("an agent's turn", () => {
  test("with faults does not reach the generation, reports them, and is repeated until there are none", async () => {
    roles.isRight = false;
    roles.applyFault = new Fault("trial.broken", "it broke");
    await control().putSpec(specOf(1));
    await start();
    const heard = await said("the fault", ({ faults }) => faults.length > 0);
    expect(heard).toMatchObject({
      generation: 0,
      targetGeneration: 1,
      faults: [{ resource: "trial: thing", code: "trial.broken", message: "it broke" }],
    });
    expect(roles.contexts[0]?.isConverged()).toBe(false);
    const turns = roles.turns.length;
    await becomes("another turn", () => roles.turns.length > turns);
    roles.applyFault = null;
    expect(await reached(1)).toMatchObject({ faults: [] });
    expect(roles.contexts[0]?.isConverged()).toBe(true);
  });

  test("without faults is repeated after five minutes", async () => {
    await control().putSpec(specOf(1));
    await start();
    await reached(1);
    await clock.sleep(1_000);
    const turns = roles.turns.length;
    await clock.sleep(298_000);
    expect(roles.turns.length).toBe(turns);
    await clock.sleep(2_000);
    expect(roles.turns.length).toBe(turns + 1);
  });

  test("with faults is repeated after 1, 2, 4, 8 s, and then every 10 s", async () => {
    roles.isRight = false;
    roles.applyFault = new Fault("trial.broken", "it broke");
    await control().putSpec(specOf(1));
    await start();
    await said("the fault", ({ faults }) => faults.length > 0);
    const before = roles.turns.length;
    for (const [seconds, turns] of [
      [1, 1],
      [2, 2],
      [4, 3],
      [8, 4],
      [10, 5],
      [10, 6],
    ] as const) {
      await clock.sleep(seconds * 1_000 + 50);
      expect(roles.turns.length).toBe(before + turns);
    }
  });

  test("says in an event what it changed, and a fault once for as long as it is the same", async () => {
    const converged = () => bus.events.flatMap((event) => (event.kind === "converged" ? [event] : []));
    roles.isRight = false;
    roles.applyFault = new Fault("trial.broken", "it broke");
    await control().putSpec(specOf(1));
    await start();
    await becomes("three turns", () => roles.turns.length > 2);
    expect(converged()).toMatchObject([
      { server: SERVER, generation: 1, changed: [], faults: [{ resource: "trial: thing", message: "it broke" }] },
    ]);
    roles.applyFault = null;
    await reached(1);
    await becomes("the event", () => converged().length > 1);
    expect(converged()[1]).toMatchObject({ changed: ["thing"], faults: [] });
    await control().askAll(converge, [SERVER], {});
    expect(converged()).toHaveLength(2);
  });

  test("is made when a request asks for it, whose answer has the faults", async () => {
    await control().putSpec(specOf(1));
    await start();
    await reached(1);
    roles.isRight = false;
    const [good] = await control().askAll(converge, [SERVER], {});
    expect(good?.output).toEqual({ generation: 1, faults: [] });
    roles.isRight = false;
    roles.applyFault = new Fault("trial.broken", "it broke");
    const [bad] = await control().askAll(converge, [SERVER], {});
    expect(bad?.output).toEqual({ generation: 1, faults: [{ resource: "trial: thing", message: "it broke" }] });
  });

  test("begins when the one before has ended", async () => {
    await control().putSpec(specOf(1));
    await start();
    await reached(1);
    const held = Promise.withResolvers<void>();
    roles.holdTurns = held.promise;
    const before = roles.turns.length;
    const asked = [1, 2, 3].map(() => control().askAll(converge, [SERVER], {}));
    await becomes("a turn under way", () => roles.turns.length > before);
    await clock.sleep(500);
    expect(roles.turns.length).toBe(before + 1);
    held.resolve();
    await Promise.all(asked);
    expect(roles.turns.length).toBeGreaterThanOrEqual(before + 3);
  });
});

describe("a role", () => {
  test("that cannot start is a fault; the server's other roles go on, and it is started again", async () => {
    const good = new Roles();
    roles.startFault = new Fault("trial.port-taken", "the port is taken");
    const edge: ServerSpec["roles"]["edge"] = {
      clusters: [],
      domains: [],
      certificates: [],
      defaultCertificate: { chainPem: "", keyPem: "" },
    };
    await control().putSpec(specOf(1, { edge, control: {} }));
    await start({ ...roles.table(), control: good.table().control });
    const heard = await said("the fault", ({ faults }) => faults.length > 0);
    expect(heard).toMatchObject({ generation: 0, roles: ["control"] });
    expect(heard.faults).toMatchObject([{ code: "trial.port-taken", resource: "edge: role edge" }]);
    expect(good.turns.length).toBeGreaterThan(0);
    roles.startFault = null;
    expect((await reached(1)).roles.sort()).toEqual(["control", "edge"]);
  });

  test("is started once, also while the bus is away, and stopped with the agent", async () => {
    await ledger.writeSpec(specOf(1));
    end.cutOff();
    const started = await start();
    expect(roles.starts).toBe(1);
    end.bringBack();
    await control().putSpec(specOf(2));
    await reached(2);
    expect(roles.starts).toBe(1);
    await started.stop();
    expect(roles.stops).toBe(1);
    expect(end.isConnected()).toBe(false);
    const turns = roles.turns.length;
    await clock.sleep(600_000);
    expect(roles.turns.length).toBe(turns);
  });

  test("can ask for another turn", async () => {
    await control().putSpec(specOf(1));
    await start();
    await reached(1);
    const turns = roles.turns.length;
    roles.contexts[0]?.nudge();
    await becomes("another turn", () => roles.turns.length > turns);
  });
});

describe("an agent", () => {
  test("counts its statuses, and answers a request for its status with what its heartbeats say", async () => {
    roles.release = "a".repeat(40);
    await control().putSpec(specOf(1));
    await start();
    const first = await reached(1);
    expect(first.releases).toEqual({ s1: "a".repeat(40) });
    expect(first.facts).toMatchObject({ "os.name": expect.any(String), "disk.free": expect.any(Number), "fabric.refused": 0 });
    const [answer] = await control().askAll(status, [SERVER], {});
    expect(answer?.output).toMatchObject({ generation: 1, startedAt: first.startedAt, releases: first.releases });
    await control().askAll(converge, [SERVER], {});
    await said("a later heartbeat", ({ count }) => count > first.count);
  });

  test("answers people whom its spec's policy grants an action, if it is an operator's", async () => {
    const policy = { ada: [{ actions: ["*"], target: { kind: "named" as const, name: SERVER } }] };
    await control().putSpec({ ...specOf(1), policy });
    await start();
    await reached(1);
    const codeFor = async (asking: Promise<{ readonly fault?: { readonly code: string } | undefined }[]>) =>
      (await asking)[0]?.fault?.code ?? "answered";
    expect(await codeFor(control().askAll(ping, [SERVER], {}, { caller: "ada" }))).toBe("answered");
    expect(await codeFor(control().askAll(ping, [SERVER], {}, { caller: "bob" }))).toBe("fabric.refused-caller");
    const pages = { website: "s1", keep: null };
    expect(await codeFor(control().askAll(banPages, [SERVER], pages, { caller: "ada" }))).toBe("fabric.refused-caller");
  });

  test("answers when a target names one of its roles or itself", async () => {
    await control().putSpec(specOf(1));
    await start();
    await reached(1);
    const meant = async (name: string) => (await control().askAll(ping, [SERVER], {}, { select: { kind: "named", name } })).length;
    expect(await meant("control")).toBe(1);
    expect(await meant("c1b*")).toBe(1);
    expect(await meant("edge")).toBe(0);
  });

  test("answers before it restarts", async () => {
    await start();
    const [answer] = await control().askAll(agentRestart, [SERVER], {});
    expect([answer?.output, restarts]).toEqual([{ restarting: true }, 0]);
    // By the machine's clock: the process is about to end.
    await until("the restart", async () => (restarts > 0 ? true : null), { timeoutMs: 10_000 });
  });
});

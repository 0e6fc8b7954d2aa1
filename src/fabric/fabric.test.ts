import { randomUUID } from "node:crypto";
import { connect, jwtAuthenticator, type NatsConnection } from "@nats-io/transport-node";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { nowMicros, timestamp, timestampOf } from "#base/clock.ts";
import { Fault } from "#base/fault.ts";
import { silentLog } from "#base/log.ts";
import { until } from "#base/retry.ts";
import { action } from "#contract/action.ts";
import type { Event, RefusedEvent } from "#contract/events.ts";
import type { Push } from "#contract/push.ts";
import type { ServerStatus } from "#contract/status.ts";
import { startBroker, type TestBroker } from "#harness/broker.ts";
import { pushWith } from "#harness/push.ts";
import { connectBus, identityCheck } from "./connection.ts";
import type { AgentFabric, ControlFabric, ReadEventsOptions, StoredEvent } from "./fabric.ts";
import { subjects } from "./subjects.ts";

const double = action("trial.double", {
  summary: "Double a number",
  input: z.object({ number: z.int(), waitMs: z.int().default(0) }),
  output: z.object({ number: z.int() }),
  timeoutMs: 3_000,
  idempotent: true,
  faults: ["trial.odd"],
});

let broker: TestBroker;
let control: ControlFabric;
const agents = new Map<string, AgentFabric>();
let carriedOut = 0;

beforeAll(async () => {
  broker = await startBroker();
  control = await broker.joinAsControl();
  for (const server of ["c1b1", "c1b2", "git1"]) {
    const agent = await broker.joinAsServer(server, [server === "git1" ? "git" : "box"]);
    agent.answer(double, async ({ number, waitMs }) => {
      carriedOut++;
      await new Promise((resolve) => setTimeout(resolve, waitMs));
      if (number % 2 !== 0) throw new Fault("trial.odd", `${number} is odd`, { next: "take an even one" });
      return { number: number * 2 };
    });
    agents.set(server, agent);
  }
});
afterAll(() => broker.stop());

function agent(server: string): AgentFabric {
  const found = agents.get(server);
  if (found === undefined) throw new Error(`no agent ${server}`);
  return found;
}

describe("a request", () => {
  test("is answered by each server on its own, and by those alone that were asked", async () => {
    const before = carriedOut;
    const answers = await control.askAll(double, ["c1b1", "c1b2"], { number: 4 });
    expect(answers.map(({ server, output }) => [server, output]).sort()).toEqual([
      ["c1b1", { number: 8 }],
      ["c1b2", { number: 8 }],
    ]);
    expect(carriedOut - before).toBe(2);
  });

  test("brings back the server's own fault with its remedy", async () => {
    const [answer] = await control.askAll(double, ["c1b1"], { number: 3 });
    expect(answer?.fault).toEqual({ code: "trial.odd", message: "3 is odd", next: "take an even one" });
  });

  test("says at once that a server is not connected, and does not wait for it", async () => {
    const answers: string[] = [];
    for await (const { server, fault } of control.ask(double, ["c1b1", "nobody1"], { number: 2, waitMs: 500 }))
      answers.push(`${server} ${fault?.code ?? "answers"}`);
    expect(answers).toEqual(["nobody1 fabric.no-server", "c1b1 answers"]);
  });

  test("streams what comes, and says of a slow server that it timed out", async () => {
    agent("c1b2").answer(double, async ({ number }) => {
      await new Promise((resolve) => setTimeout(resolve, 400));
      return { number };
    });
    const answers: string[] = [];
    for await (const { server, fault } of control.ask(double, ["c1b2", "c1b1"], { number: 2 }, { timeoutMs: 200 }))
      answers.push(`${server} ${fault?.code ?? "answers"}`);
    expect(answers).toEqual(["c1b1 answers", "c1b2 fabric.timed-out"]);
  });

  test("that is cancelled answers for every server that has not", async () => {
    const calledOff = new AbortController();
    setTimeout(() => calledOff.abort(), 100);
    const answers = await control.askAll(double, ["c1b1"], { number: 2, waitMs: 1_000 }, { signal: calledOff.signal });
    expect(answers[0]?.fault?.code).toBe("fabric.cancelled");
  });

  test("that a server does not offer, or with an input it does not take, is refused by the server", async () => {
    const unknown = { ...double, name: "trial.unknown" };
    expect((await control.askAll(unknown, ["c1b1"], { number: 2 }))[0]?.fault?.code).toBe("fabric.unknown-action");
    const wrong = control.askAll(double, ["c1b1"], { number: "two" } as unknown as { number: number });
    expect((await wrong)[0]?.fault?.code).toBe("fabric.bad-input");
  });

  test("reaches a server every time although the broker still has a connection of it that a cut has killed", async () => {
    const { brokers, caPem, credentials } = await broker.enrolmentOf("c1b1");
    const dead = await connectBus({ brokers, caPem, credentials, name: "c1b1", log: silentLog() });
    dead.subscribe(subjects.requestsOf("c1b1"), { queue: "c1b1", callback: () => undefined });
    await dead.flush();
    const asked = Array.from({ length: 20 }, () => control.askAll(double, ["c1b1"], { number: 2 }, { timeoutMs: 1_000 }));
    const answers = (await Promise.all(asked)).flat();
    await dead.close();
    expect(answers.flatMap(({ fault }) => fault?.code ?? [])).toEqual([]);
  });

  test("to no server has no answer", async () => {
    expect(await control.askAll(double, [], { number: 2 })).toEqual([]);
  });
});

function statusOf(server: string): ServerStatus {
  const at = timestamp();
  return { server, at, startedAt: at, count: 1, generation: 1, targetGeneration: 1, roles: ["box"], faults: [], releases: {}, facts: {} };
}

describe("the registry", () => {
  test("has a server that gives signs of life, and tells of it", async () => {
    const told = new Promise<void>((resolve) => control.onRegistryChange(resolve));
    await agent("c1b1").putStatus(statusOf("c1b1"));
    await told;
    expect(control.registry().get("c1b1")).toMatchObject({ generation: 1 });
  });

  test("says since when a server has been heard of without a gap, and nothing of one that is not in it", async () => {
    const before = Date.now();
    expect(control.heardSince("c1b3")).toBeNull();
    const at = timestamp();
    for (const count of [1, 2]) {
      await agent("c1b1").putStatus({ ...statusOf("c1b1"), startedAt: at, count });
      await until("it to be heard", async () => control.registry().get("c1b1")?.count === count || null, { timeoutMs: 5_000 });
    }
    const since = Date.parse(control.heardSince("c1b1") ?? "");
    expect(since).toBeGreaterThan(before - 5_000);
    expect(since).toBeLessThanOrEqual(Date.parse(control.lastHeard("c1b1") ?? ""));
  });

  test("does not take what a lost connection brings late for news of a server, nor for a wrong clock", async () => {
    const known = { ...statusOf("c1b2"), count: 2, generation: 2 };
    const late = { ...known, at: timestampOf(nowMicros() - 45_000_000), count: 1, generation: 1 };
    const heard: { generation: number | undefined; clockMs: number }[] = [];
    const stop = control.onRegistryChange(() => {
      heard.push({ generation: control.registry().get("c1b2")?.generation, clockMs: control.clockOffsetMs("c1b2") });
    });
    for (const status of [known, late, { ...known, count: 3, generation: 3 }]) await agent("c1b2").putStatus(status);
    await until("all to be heard", async () => (heard.at(-1)?.generation === 3 ? true : null), { timeoutMs: 5_000 }).finally(stop);
    expect(heard.map(({ generation }) => generation)).toEqual([2, 3]);
    for (const { clockMs } of heard) expect(Math.abs(clockMs)).toBeLessThan(10_000);
  });

  test("does not believe a server that speaks for another", async () => {
    await agent("c1b2").putStatus({ ...statusOf("c1b2"), server: "c1b1", generation: 99, targetGeneration: 99 });
    await agent("c1b2").putStatus(statusOf("c1b2"));
    await until("the second status", async () => (control.registry().has("c1b2") ? true : null), { timeoutMs: 5_000 });
    expect(control.registry().get("c1b1")?.generation).toBe(1);
  });
});

const spec = (server: string, generation: number) => ({
  yard: "trial",
  server,
  address: "127.0.0.1",
  neighbours: [],
  roles: {},
  brokers: [],
  policy: {},
  generation,
});

describe("a spec", () => {
  test("reaches its server with a nudge, and is there for it later on", async () => {
    expect(await agent("c1b1").readSpec()).toBeNull();
    const nudged = new Promise<void>((resolve) => agent("c1b1").onNudge(resolve));
    await control.putSpec(spec("c1b1", 1));
    await nudged;
    expect(await agent("c1b1").readSpec()).toEqual(spec("c1b1", 1));
    await control.putSpec(spec("c1b1", 2));
    expect((await agent("c1b1").readSpec())?.generation).toBe(2);
  });

  test("of a removed server is forgotten", async () => {
    await control.putSpec(spec("c1b2", 1));
    await control.forget("c1b2");
    expect(await agent("c1b2").readSpec()).toBeNull();
  });
});

describe("a push", () => {
  test("comes again until it is taken, counts once however often it is sent, and survives a broker that is killed", async () => {
    const stopped = new AbortController();
    const tried: string[] = [];
    let mayTake = false;
    const take = async ({ id }: Push): Promise<void> => {
      tried.push(id);
      if (!mayTake) throw new Error("not now");
    };
    const consuming = control.consumePushes(take, stopped.signal);
    await agent("git1").publishPush(pushWith({ id: "p1" }));
    await agent("git1").publishPush(pushWith({ id: "p1" }));
    await until("the push to come", async () => tried[0] ?? null, { timeoutMs: 10_000 });
    const isBack = new Promise<void>((resolve) => agent("git1").onNudge(resolve));
    await broker.kill();
    mayTake = true;
    await broker.restart();
    await isBack;
    // Control may take a moment longer than the git server to be back.
    await until(
      "control to be back",
      () =>
        agent("git1")
          .publishPush(pushWith({ id: "p2" }))
          .then(() => true),
      { timeoutMs: 10_000 },
    );
    const haveCome = async (): Promise<true | null> => (tried.includes("p2") && tried.lastIndexOf("p1") > 0 ? true : null);
    await until("both pushes", haveCome, { timeoutMs: 25_000 });
    stopped.abort();
    await consuming;
    expect(tried.filter((id) => id === "p2")).toHaveLength(1);
    expect(new Set(tried)).toEqual(new Set(["p1", "p2"]));
  });
});

function converged(server: string, generation: number): Event {
  return { kind: "converged", at: timestamp(), server, generation, changed: [], faults: [] };
}

/** Events as they are read, without those that other tests have made. */
async function readEvents(options: ReadEventsOptions, signal = AbortSignal.timeout(20_000)): Promise<StoredEvent[]> {
  const events: StoredEvent[] = [];
  for await (const stored of control.readEvents(options, signal)) events.push(stored);
  return events;
}

describe("events", () => {
  test("are read in their order, the newest or those after a known one, and followed as they come", async () => {
    for (const generation of [1, 2, 3]) await agent("c1b1").publishEvent(converged("c1b1", generation));
    const newest = await readEvents({ last: 2 });
    expect(newest.map(({ event }) => event)).toMatchObject([{ generation: 2 }, { generation: 3 }]);
    const after = newest[0]?.number ?? 0;
    expect(await readEvents({ after })).toEqual(newest.slice(1));
    expect(await readEvents({ after: after + 1 })).toEqual([]);
    const stopped = new AbortController();
    const followed: StoredEvent[] = [];
    const following = (async () => {
      for await (const stored of control.readEvents({ after, follow: true }, stopped.signal)) followed.push(stored);
    })();
    await control.publishEvent({ kind: "server", at: timestamp(), server: "c1b1", change: { what: "created" } });
    await until("the new event", async () => (followed.length === 2 ? true : null), { timeoutMs: 5_000 });
    stopped.abort();
    await following;
    expect(followed.at(-1)?.event).toMatchObject({ kind: "server" });
  });

  test("of a server that cannot reach the broker arrive when it can: all of them, in order, once", async () => {
    const [{ number: after } = { number: 0 }] = await readEvents({ last: 1 });
    await broker.kill();
    const published = Promise.all([11, 12, 13].map((generation) => agent("c1b1").publishEvent(converged("c1b1", generation))));
    await broker.restart();
    await published;
    const arrived = async (): Promise<StoredEvent[] | null> => {
      const events = await readEvents({ after }).catch(() => []);
      return events.length >= 3 ? events : null;
    };
    const events = await until("the events", arrived, { timeoutMs: 20_000 });
    expect(events.map(({ event }) => event)).toMatchObject([{ generation: 11 }, { generation: 12 }, { generation: 13 }]);
  });

  test("of control that cannot reach the broker wait, too: publishing does not fail, and all arrive, in order, once", async () => {
    const [{ number: after } = { number: 0 }] = await readEvents({ last: 1 });
    const lines = Array.from({ length: 5 }, (_, index) => `event ${index}`);
    await broker.kill();
    const published = Promise.all(
      lines.map((line) =>
        control.publishEvent({ kind: "server", at: timestamp(), server: "c1b1", change: { what: "fenced", reason: line } }),
      ),
    );
    await published;
    await broker.restart();
    const arrived = async (): Promise<StoredEvent[] | null> => {
      const events = (await readEvents({ after }).catch(() => [])).filter(({ event }) => event.kind === "server");
      return events.length >= lines.length ? events : null;
    };
    const events = await until("the events", arrived, { timeoutMs: 20_000 });
    expect(events.map(({ event }) => (event.kind === "server" && event.change.what === "fenced" ? event.change.reason : ""))).toEqual(
      lines,
    );
  });

  test("that are too large for the stream are cut, say so, and keep back none behind them", async () => {
    const [{ number: after } = { number: 0 }] = await readEvents({ last: 1 });
    const long = Array.from({ length: 5_000 }, (_, index) => `file /srv/sites/s1/${"long/".repeat(100)}${index}`);
    const faults = long.map((resource) => ({ resource, message: "no space left on device" }));
    const job = { kind: "job" as const, at: timestamp(), startedAt: timestamp(), server: "c1b1", job: randomUUID(), caller: "anna" };
    await agent("c1b1").publishEvent({ ...converged("c1b1", 21), changed: long, faults } as Event);
    await agent("c1b1").publishEvent({ ...job, action: "server.scrub", state: "done", line: "done", result: { unreadable: faults } });
    await agent("c1b1").publishEvent(converged("c1b1", 22));
    const events = (await readEvents({ after })).map(({ event }) => event);
    expect(events).toMatchObject([{ generation: 21 }, { state: "done", line: expect.stringContaining("too large") }, { generation: 22 }]);
    const [cut] = events;
    if (cut?.kind !== "converged") throw new Error("no event of a convergence");
    expect(cut.changed.at(-1)).toBe(`… and ${5_000 - cut.changed.length + 1} more`);
    expect(cut.faults.at(-1)?.message).toBe(`and ${5_000 - cut.faults.length + 1} more`);
  });
});

describe("what a server refuses", () => {
  test("is told of once for a flood of it, with how many there were, and control is told of every reason", async () => {
    const before = agent("c1b1").refused();
    const stopped = new AbortController();
    const told: RefusedEvent[] = [];
    const consuming = control.consumeRefusals(async (refused) => void told.push(refused), stopped.signal);
    const plain = await broker.connectPlainly();
    for (let count = 0; count < 50; count++) plain.publish("request.c1b1.trial.double", "no envelope");
    await plain.flush();
    const [answer] = await control.askAll(double, ["c1b1"], { number: 2 }, { caller: "mallory" });
    expect(answer?.fault).toMatchObject({ code: "fabric.refused-caller", message: "mallory may not ask c1b1 for trial.double" });
    const codes = async () => (new Set(told.map(({ code }) => code)).size === 2 ? true : null);
    await until("both refusals", codes, { timeoutMs: 10_000 });
    stopped.abort();
    await consuming;
    expect(told).toMatchObject([
      { server: "c1b1", code: "fabric.malformed", action: "trial.double", count: 1 },
      { server: "c1b1", code: "fabric.refused-caller", count: 1 },
    ]);
    expect(agent("c1b1").refused() - before).toBe(51);
  });
});

describe("after the broker was killed and is back", () => {
  test("what went towards it in its last moment is asked again", async () => {
    const killed = broker.kill();
    const asking = control.askAll(double, ["c1b1", "git1"], { number: 4 }, { timeoutMs: 30_000 });
    await killed;
    await broker.restart();
    expect((await asking).map(({ output }) => output?.number)).toEqual([8, 8]);
  });

  test("requests and nudges reach the servers as before", async () => {
    const nudged = new Promise<void>((resolve) => agent("c1b1").onNudge(resolve));
    await broker.kill();
    await broker.restart();
    await nudged;
    const answered = async (): Promise<true | null> =>
      (await control.askAll(double, ["c1b1"], { number: 4 }, { timeoutMs: 500 }))[0]?.output?.number === 8 ? true : null;
    expect(await until("an answer", answered, { timeoutMs: 10_000 })).toBe(true);
  });

  test("a server that was there a moment ago is waited for, and named as not connected when it does not come", async () => {
    const gone = await broker.joinAsServer("c1b8");
    const told = new Promise<void>((resolve) => control.onRegistryChange(() => control.registry().has("c1b8") && resolve()));
    await gone.putStatus(statusOf("c1b8"));
    await told;
    await gone.close();
    await broker.kill();
    await broker.restart();
    await until(
      "control to be back",
      async () => control.askAll(double, ["c1b1"], { number: 4 }, { timeoutMs: 300 }).then(([one]) => (one?.output ? true : null)),
      {
        timeoutMs: 10_000,
      },
    );
    const [answer] = await control.askAll(double, ["c1b8"], { number: 4 }, { timeoutMs: 800 });
    expect(answer?.fault?.code).toBe("fabric.no-server");
    expect(answer?.durationMs).toBeGreaterThan(700);
  });
});

/** A box whose attacker has its credentials and speaks to the broker directly. */
describe("a server's credentials", () => {
  let bus: NatsConnection;
  const refusals: string[] = [];

  beforeAll(async () => {
    const { brokers, caPem, credentials } = await broker.enrolmentOf("c1b9");
    bus = await connect({
      servers: brokers,
      tls: { ca: caPem, ...identityCheck(brokers) },
      authenticator: jwtAuthenticator(credentials.jwt, new TextEncoder().encode(credentials.seed)),
      inboxPrefix: "_INBOX_c1b9",
    });
    void (async () => {
      for await (const status of bus.status()) if (status.type === "error") refusals.push(String(status.error));
    })();
  });
  afterAll(() => bus.close());

  async function refusalOf(attempt: () => void): Promise<string> {
    refusals.length = 0;
    attempt();
    await bus.flush();
    return until("the broker's refusal", async () => refusals[0] ?? null, { timeoutMs: 3_000 });
  }

  test.each([
    "request.c1b1.server.ping",
    "nudge.c1b1",
    "event.c1b1.converged",
    "event.c1b9.converged",
    "push.c1b9.s1",
    "from.c1b1.event",
    "from.c1b1.spec",
    "from.c1b9.push",
    "status.c1b1",
    "news.deployment",
    "$JS.API.STREAM.MSG.GET.EVENTS",
    "$JS.API.STREAM.DELETE.PUSHES",
    "$JS.API.CONSUMER.CREATE.EVENTS",
    "_INBOX_control.1",
    "_ANSWER.1.1",
  ])("do not allow a message on %s", async (subject) => {
    expect(await refusalOf(() => bus.publish(subject, "{}"))).toContain("Permissions Violation");
  });

  test.each([
    ">",
    "request.>",
    "request.*.server.ping",
    "request.c1b1.>",
    "from.>",
    "event.>",
    "push.>",
    "news.deployment",
    "_ANSWER.>",
    "_INBOX_c1b1.>",
    "_INBOX_control.>",
    "$SYS.>",
  ])("do not allow to listen on %s", async (subject) => {
    expect(await refusalOf(() => void bus.subscribe(subject))).toContain("Permissions Violation");
  });
});

import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { z } from "zod";
import { timestamp } from "#base/clock.ts";
import { Fault } from "#base/fault.ts";
import { until } from "#base/retry.ts";
import { action } from "#contract/action.ts";
import type { Event } from "#contract/events.ts";
import type { ServerName } from "#contract/names.ts";
import type { ServerSpec } from "#contract/spec/server.ts";
import type { ServerStatus } from "#contract/status.ts";
import type { AgentFabric, ControlFabric } from "./fabric.ts";

/** Both ends of a fabric to be examined. */
export interface FabricUnderTest {
  readonly control: ControlFabric;
  /** The end of a server, connected. */
  readonly join: (server: ServerName) => Promise<AgentFabric>;
  readonly close: () => Promise<void>;
}

const double = action("trial.double", {
  summary: "Double a number",
  input: z.object({ number: z.int(), waitMs: z.int().default(0) }),
  output: z.object({ number: z.int() }),
  timeoutMs: 5_000,
  idempotent: true,
  faults: ["trial.odd"],
});
const WAIT = { timeoutMs: 20_000, everyMs: 20 };

/** An open fabric as the tests find it. */
interface Opened {
  readonly control: () => ControlFabric;
  /** The end of c1b1. */
  readonly server: () => AgentFabric;
  /** How often it has carried out a request. */
  readonly carriedOut: () => number;
  readonly nudges: () => number;
}

/** What every fabric promises to those that use it, whatever carries it. */
export function fabricConformance(open: () => Promise<FabricUnderTest>): void {
  let tested: FabricUnderTest;
  let server: AgentFabric;
  let carriedOut = 0;
  let nudges = 0;
  beforeAll(async () => {
    tested = await open();
    server = await tested.join("c1b1");
    server.answer(double, async ({ number, waitMs }) => {
      carriedOut++;
      await sleep(waitMs);
      if (number % 2 !== 0) throw new Fault("trial.odd", `${number} is odd`, { next: "take an even one" });
      return { number: number * 2 };
    });
    server.onNudge(() => nudges++);
  });
  afterAll(() => tested.close());
  const opened: Opened = { control: () => tested.control, server: () => server, carriedOut: () => carriedOut, nudges: () => nudges };
  testRequests(opened);
  testSpecs(opened);
  testEvents(opened);
}

function testRequests({ control, server, carriedOut }: Opened): void {
  const askAll: ControlFabric["askAll"] = (...given) => control().askAll(...given);

  test("a request brings the server's output, or its fault with the next step", async () => {
    expect((await askAll(double, ["c1b1"], { number: 4 }))[0]?.output).toEqual({ number: 8 });
    expect((await askAll(double, ["c1b1"], { number: 3 }))[0]?.fault).toEqual({
      code: "trial.odd",
      message: "3 is odd",
      next: "take an even one",
    });
  });

  test("a server that is not there, an action it does not know, and an input that does not fit have faults of their own", async () => {
    const code = async (asked: ReturnType<ControlFabric["askAll"]>) => (await asked)[0]?.fault?.code;
    expect(await code(askAll(double, ["absent1"], { number: 2 }))).toBe("fabric.no-server");
    expect(await code(askAll({ ...double, name: "trial.unknown" }, ["c1b1"], { number: 2 }))).toBe("fabric.unknown-action");
    expect(await code(askAll(double, ["c1b1"], { number: "two" } as never))).toBe("fabric.bad-input");
  });

  test("a silent server is given up after the time limit, and a request that is cancelled at once", async () => {
    const slow = { number: 2, waitMs: 1_500 };
    expect((await askAll(double, ["c1b1"], slow, { timeoutMs: 200 }))[0]?.fault?.code).toBe("fabric.timed-out");
    const calledOff = new AbortController();
    setTimeout(() => calledOff.abort(), 100);
    expect((await askAll(double, ["c1b1"], slow, { signal: calledOff.signal }))[0]?.fault?.code).toBe("fabric.cancelled");
  });

  test("a request that comes a second time is not carried out again", async () => {
    const id = randomUUID();
    await askAll(double, ["c1b1"], { number: 4 }, { id });
    const before = carriedOut();
    await askAll(double, ["c1b1"], { number: 4 }, { id });
    expect(carriedOut()).toBe(before);
  });

  test("a server decides by itself whether a target means it, and whether a person may ask it", async () => {
    server().selectBy(async (target) => target.kind === "all");
    server().allowBy(async (caller) => caller === "ada");
    expect(await askAll(double, ["c1b1"], { number: 4 }, { select: { kind: "all" } })).toHaveLength(1);
    expect(await askAll(double, ["c1b1"], { number: 4 }, { select: { kind: "named", name: "x" } })).toHaveLength(0);
    expect((await askAll(double, ["c1b1"], { number: 4 }, { caller: "ada" }))[0]?.output).toEqual({ number: 8 });
    expect((await askAll(double, ["c1b1"], { number: 4 }, { caller: "bob" }))[0]?.fault?.code).toBe("fabric.refused-caller");
  });
}

function testSpecs({ control, server, nudges }: Opened): void {
  test("a spec reaches its own server, after a nudge, as it was put", async () => {
    expect(await server().readSpec()).toBeNull();
    const before = nudges();
    const spec: ServerSpec = {
      yard: "trial",
      server: "c1b1",
      address: "127.0.0.1",
      neighbours: [],
      roles: { control: {} },
      brokers: [],
      policy: {},
      generation: 3,
    };
    await control().putSpec(spec);
    await until("the nudge", async () => (nudges() > before ? true : null), WAIT);
    expect(await server().readSpec()).toEqual(spec);
  });

  test("a heartbeat stands in the registry, whose listeners are called, until the server is forgotten", async () => {
    let changes = 0;
    const stop = control().onRegistryChange(() => changes++);
    await server().putStatus(statusOf("c1b1", 7));
    await until("the status", async () => (control().registry().get("c1b1")?.generation === 7 ? true : null), WAIT);
    expect(changes).toBeGreaterThan(0);
    await control().forget("c1b1");
    await until("it to be forgotten", async () => (control().registry().has("c1b1") ? null : true), WAIT);
    stop();
  });
}

function testEvents({ control }: Opened): void {
  test("events of both ends are read in their order, from any point, and followed", async () => {
    const event = (line: string): Event => ({ kind: "lost", at: timestamp(), server: "c1b1", count: 1, line });
    for (const line of ["one", "two", "three"]) await control().publishEvent(event(line));
    const over = new AbortController();
    const lines: string[] = [];
    for await (const { event: read } of control().readEvents({ last: 2 }, over.signal)) if (read.kind === "lost") lines.push(read.line);
    expect(lines).toEqual(["two", "three"]);
    const followed: string[] = [];
    const following = (async () => {
      for await (const { event: read } of control().readEvents({ last: 1, follow: true }, over.signal))
        if (read.kind === "lost") followed.push(read.line);
    })();
    await until("the last one", async () => (followed.length === 1 ? true : null), WAIT);
    await control().publishEvent(event("four"));
    await until("the next one", async () => (followed.length === 2 ? true : null), WAIT);
    expect(followed).toEqual(["three", "four"]);
    over.abort();
    await following;
  });
}

function statusOf(server: ServerName, generation: number): ServerStatus {
  const at = timestamp();
  return { server, at, startedAt: at, count: 1, generation, targetGeneration: generation, roles: [], faults: [], releases: {}, facts: {} };
}

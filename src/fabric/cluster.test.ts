// Takes over a minute: brokers are killed one after the other, and find each other again.
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { timestamp } from "#base/clock.ts";
import { silentLog } from "#base/log.ts";
import { until } from "#base/retry.ts";
import { action } from "#contract/action.ts";
import type { Push } from "#contract/push.ts";
import { startBroker, type TestBroker } from "#harness/broker.ts";
import { pushWith } from "#harness/push.ts";
import { connectBus } from "./connection.ts";
import type { AgentFabric, ControlFabric } from "./fabric.ts";
import { type Credentials, publicKeyOf } from "./native-keys.ts";
import { announceRevocations } from "./revocation.ts";

const declaration = {
  summary: "Tell a number",
  input: z.object({ number: z.int() }),
  output: z.object({ number: z.int() }),
  timeoutMs: 5_000,
  faults: [],
};
const double = action("trial.double", { ...declaration, idempotent: true });
const count = action("trial.count", { ...declaration, idempotent: false });

const SERVERS = ["c1b1", "c1b2", "c1b3", "c1b4", "git1"] as const;
const BROKERS = [0, 1, 2] as const;
/** Three brokers agree who leads in less than this, on a machine that has other things to do. */
const AGREE_MS = 40_000;

let broker: TestBroker;
let control: ControlFabric;
const agents = new Map<string, AgentFabric>();
const counted = new Map<string, number>();
const beating = new AbortController();

beforeAll(async () => {
  broker = await startBroker({ replicas: 3 });
  control = await broker.joinAsControl();
  for (const server of SERVERS) {
    const agent = await broker.joinAsServer(server, [server === "git1" ? "git" : "box"]);
    agent.answer(double, async ({ number }) => ({ number: number * 2 }));
    agent.answer(count, async ({ number }) => {
      counted.set(`${server} ${number}`, (counted.get(`${server} ${number}`) ?? 0) + 1);
      return { number };
    });
    agents.set(server, agent);
    void beat(server, agent);
  }
}, 90_000);
afterAll(async () => {
  beating.abort();
  await broker.stop();
});

/** Heartbeats as an agent gives them. */
async function beat(server: string, agent: AgentFabric): Promise<void> {
  const startedAt = timestamp();
  for (let nth = 1; !beating.signal.aborted; nth++) {
    const status = { server, at: timestamp(), startedAt, count: nth, generation: 1, targetGeneration: 1, roles: [], faults: [] };
    await agent.putStatus({ ...status, releases: {}, facts: {} }).catch(() => undefined);
    await sleep(500);
  }
}

/** What goes on until it is told to stop; gives what came of it. */
function goOn<T>(turn: (nth: number) => Promise<T>): { stop(): Promise<T[]> } {
  const results: T[] = [];
  let isStopped = false;
  const running = (async () => {
    for (let nth = 0; !isStopped; nth++) {
      results.push(await turn(nth));
      await sleep(20);
    }
  })();
  return {
    stop: async () => {
      isStopped = true;
      await running;
      return results;
    },
  };
}

/** Faults of a request, and of the same asked once more by those who had one. */
async function askTwice(what: typeof double | typeof count, number: number): Promise<string[]> {
  const first = await control.askAll(what, [...SERVERS], { number });
  const failed = first.flatMap(({ server, fault }) => (fault === undefined ? [] : [server]));
  if (failed.length === 0) return [];
  const second = await control.askAll(what, failed, { number: number + 1_000_000 });
  return second.flatMap(({ server, fault }) => (fault === undefined ? [] : `${server}: ${fault.code}`));
}

function eventLine(of: string, nth: number): string {
  return `${of} ${nth}`;
}

async function storedLines(): Promise<string[]> {
  const lines: string[] = [];
  for await (const { event } of control.readEvents({ after: 0 }, AbortSignal.timeout(20_000)))
    if (event.kind === "lost") lines.push(event.line);
  return lines;
}

const eventOf = (server: string, line: string) => ({ kind: "lost" as const, at: timestamp(), server, count: 1, line });

describe("three brokers", () => {
  test.each(BROKERS.map((nth) => ({ nth, killed: `control${nth + 1}` })))(
    "lose nothing that was stored when $killed is killed, and no request that is asked twice",
    async ({ nth }) => {
      await until("the brokers to agree", () => control.publishEvent(eventOf("control1", "begin")).then(() => true), {
        timeoutMs: AGREE_MS,
      });
      const asking = goOn((number) => askTwice(double, number));
      const counting = goOn((number) => askTwice(count, nth * 10_000 + number));
      const telling = goOn(async (number) => {
        const line = eventLine(`control-${nth}`, number);
        await control.publishEvent(eventOf("control1", line));
        return line;
      });
      const reporting = goOn(async (number) => {
        const line = eventLine(`c1b1-${nth}`, number);
        await agents.get("c1b1")?.publishEvent({ kind: "lost", at: timestamp(), server: "c1b1", count: 1, line });
        return line;
      });
      const pushing = goOn(async (number) => {
        const id = `${nth}-${number}`;
        await until(
          "the push to be stored",
          async () =>
            agents
              .get("git1")
              ?.publishPush(pushWith({ id }))
              .then(() => true) ?? null,
          { timeoutMs: AGREE_MS },
        );
        return id;
      });
      await sleep(500);
      await broker.kill(nth);
      await sleep(8_000);
      const unanswered = [...(await asking.stop()), ...(await counting.stop())].flat();
      const [told, reported, pushed] = await Promise.all([telling.stop(), reporting.stop(), pushing.stop()]);
      await broker.restart(nth);

      expect(unanswered).toEqual([]);
      expect(Math.max(...counted.values())).toBe(1);
      const last = [told.at(-1) ?? "", reported.at(-1) ?? ""];
      const areStored = async (): Promise<true | null> => {
        const lines = await storedLines();
        return last.every((line) => lines.includes(line)) ? true : null;
      };
      await until("what waited to be stored", areStored, { timeoutMs: AGREE_MS });
      const lines = await storedLines();
      for (const line of [...told, ...reported]) expect(lines.filter((one) => one === line)).toEqual([line]);
      expect(lines.filter((line) => line.startsWith(`c1b1-${nth} `))).toEqual(reported);
      expect(await takePushes(`${nth}-`, pushed.length)).toEqual(pushed);
    },
    120_000,
  );

  test("carry a control plane that joins while two of them are gone: it asks at once, and stores when one of those is back", async () => {
    await broker.kill(1);
    await broker.kill(2);
    const joined = await broker.joinAsControl();
    const doubled = async (): Promise<number | null> => (await joined.askAll(double, ["c1b1"], { number: 4 }))[0]?.output?.number ?? null;
    expect(await until("the server to answer", doubled, { timeoutMs: AGREE_MS })).toBe(8);
    const reading = Array.fromAsync(joined.readEvents({ last: 1 }, AbortSignal.timeout(20_000)));
    await expect(reading).rejects.toMatchObject({ code: "fabric.no-streams" });
    await joined.publishEvent(eventOf("control1", "told without a majority"));
    await broker.restart(1);
    const isStored = async (): Promise<true | null> => ((await storedLines()).includes("told without a majority") ? true : null);
    await until("what it told to be stored", isStored, { timeoutMs: AGREE_MS });
    await broker.restart(2);
    await joined.close();
  }, 120_000);

  test("all cut off a server whose key is revoked, also the one that was away meanwhile and is told when it is back", async () => {
    const { credentials } = await broker.enrolmentOf("c1b9");
    for (const nth of BROKERS) expect(await admits(nth, credentials)).toBe(true);
    await broker.kill(2);
    const revoked = [{ publicKey: publicKeyOf(credentials.jwt), at: new Date() }];
    const bus = { brokers: broker.brokers, caPem: broker.authority.certificatePem, log: silentLog() };
    await announceRevocations(bus, broker.keys, revoked);
    await broker.restart(2);
    await announceRevocations(bus, broker.keys, revoked);
    for (const nth of BROKERS)
      await until(`control${nth + 1} to refuse it`, async () => ((await admits(nth, credentials)) ? null : true), { timeoutMs: AGREE_MS });
    const { credentials: other } = await broker.enrolmentOf("c1b9");
    for (const nth of BROKERS) expect(await admits(nth, other)).toBe(true);
  }, 90_000);
});

/** Whether one of the brokers accepts a connection. */
async function admits(nth: number, credentials: Credentials): Promise<boolean> {
  const brokers = broker.brokers.slice(nth, nth + 1);
  const bus = { brokers, caPem: broker.authority.certificatePem, log: silentLog(), name: "c1b9", onceMs: 5_000 };
  const connection = await connectBus({ ...bus, credentials }).catch(() => null);
  await connection?.close();
  return connection !== null;
}

/** As control does: whenever the brokers have nobody who answers for the stream, it asks again. */
async function takePushes(prefix: string, most: number): Promise<string[]> {
  const taken: string[] = [];
  const enough = new AbortController();
  const signal = AbortSignal.any([enough.signal, AbortSignal.timeout(AGREE_MS)]);
  const take = async ({ id }: Push): Promise<void> => {
    if (id.startsWith(prefix)) taken.push(id);
    if (taken.length === most) setTimeout(() => enough.abort(), 500);
  };
  while (!signal.aborted) await control.consumePushes(take, signal).catch(() => sleep(500));
  return taken;
}

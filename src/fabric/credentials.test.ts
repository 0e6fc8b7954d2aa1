import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { z } from "zod";
import { timestamp } from "#base/clock.ts";
import { silentLog } from "#base/log.ts";
import { until } from "#base/retry.ts";
import { action, streamAction } from "#contract/action.ts";
import { makeBusKey, takeBusKey } from "#contract/actions/credentials.ts";
import type { Role } from "#contract/names.ts";
import { startBroker, type TestBroker } from "#harness/broker.ts";
import type { AgentFabric, Answer, ControlFabric } from "./fabric.ts";
import { jwtForServer, type RevokedKey } from "./identity.ts";
import { createBusKey } from "./native-keys.ts";
import { announceRevocations } from "./revocation.ts";

const slow = action("trial.slow", {
  summary: "Take a while",
  input: z.object({ ms: z.int() }),
  output: z.object({}),
  timeoutMs: 10_000,
  idempotent: true,
  faults: [],
});
const endless = streamAction("trial.endless", {
  summary: "Go on",
  input: z.object({}),
  part: z.object({ number: z.int() }),
  output: z.object({}),
  timeoutMs: 60_000,
  idempotent: true,
  faults: [],
});

let broker: TestBroker;
let control: ControlFabric;
let agent: AgentFabric;
const revoked: RevokedKey[] = [];

async function revoke(publicKey: string): Promise<void> {
  revoked.push({ publicKey, at: new Date() });
  await announceRevocations({ brokers: broker.brokers, caPem: broker.authority.certificatePem, log: silentLog() }, broker.keys, revoked);
}

async function mustAsk<T>(asking: Promise<Answer<T>[]>): Promise<T> {
  const [answer] = await asking;
  if (answer?.output === undefined) throw new Error(answer?.fault?.message ?? "no answer");
  return answer.output;
}

/** Both steps, as control takes them; gives the key before and the one after. */
async function renew(server: string, roles: readonly Role[] = ["box"]): Promise<{ before: string; after: string }> {
  const { publicKey, current } = await mustAsk(control.askAll(makeBusKey, [server], {}));
  const jwt = await jwtForServer(broker.keys, { server, roles }, publicKey);
  await mustAsk(control.askAll(takeBusKey, [server], { jwt }));
  return { before: current, after: publicKey };
}

beforeAll(async () => {
  broker = await startBroker();
  control = await broker.joinAsControl();
});
afterAll(() => broker.stop());

let server: string;
let count = 0;
beforeEach(async () => {
  server = `c1b${++count}`;
  agent = await broker.joinAsServer(server);
  agent.answer(slow, async ({ ms }) => {
    await sleep(ms);
    return {};
  });
  agent.answerInParts(endless, async (_, { send, signal }) => {
    for (let number = 0; !signal.aborted; number++) {
      send({ number });
      await sleep(20);
    }
    signal.throwIfAborted();
    return {};
  });
});

describe("a server that changes its key", () => {
  test("loses no request and no event meanwhile, and the old key counts no more", async () => {
    let isOver = false;
    const faults: string[] = [];
    let asked = 0;
    const asking = (async () => {
      while (!isOver) {
        for (const { fault } of await control.askAll(slow, [server], { ms: 5 })) if (fault !== undefined) faults.push(fault.code);
        asked++;
      }
    })();
    const long = control.askAll(slow, [server], { ms: 1_500 });
    const { before, after } = await renew(server);
    expect(after).not.toBe(before);
    await revoke(before);
    const asMany = asked + 20;
    await until("twenty more answers", async () => asked >= asMany || null, { timeoutMs: 60_000 });
    isOver = true;
    await asking;
    expect((await long)[0]?.fault).toBeUndefined();
    expect(faults).toEqual([]);
    expect(await broker.connectionsOf(server)).toBe(1);
  });

  test("goes on hearing of deployments, once of each", async () => {
    const git = await broker.joinAsServer("git1", ["git"]);
    const heard: string[] = [];
    const listening = new AbortController();
    const following = (async () => {
      for await (const event of git.followDeployments(listening.signal)) if (event.kind === "deployment") heard.push(event.line);
    })();
    const tell = (line: string) =>
      control.publishEvent({
        ...{ kind: "deployment", at: timestamp(), deployment: 1, website: "s1", push: null },
        ...{ commit: "a".repeat(40), state: "staging", server: null, line },
      });
    await until("it to listen", async () => tell("before").then(() => heard.includes("before") || null), { timeoutMs: 5_000 });
    const renewing = renew("git1", ["git"]);
    for (let nth = 0; nth < 10; nth++) {
      await tell(`while ${nth}`);
      await sleep(30);
    }
    await renewing;
    await tell("after");
    await until("the last", async () => heard.includes("after") || null, { timeoutMs: 5_000 });
    expect(heard.filter((line) => line !== "before")).toEqual([...Array.from({ length: 10 }, (_, nth) => `while ${nth}`), "after"]);
    listening.abort();
    await following;
  });

  test("ends what would go on for ever, and says so", async () => {
    const ends: (string | undefined)[] = [];
    const following = (async () => {
      for await (const told of control.follow(endless, [server], {})) if (!("part" in told)) ends.push(told.fault?.code);
    })();
    await sleep(100);
    await renew(server);
    await following;
    expect(ends).toEqual(["fabric.interrupted"]);
  });

  test("takes none that it has not made, and keeps its own", async () => {
    const stranger = await jwtForServer(broker.keys, { server, roles: ["box"] }, createBusKey().publicKey);
    const [answer] = await control.askAll(takeBusKey, [server], { jwt: stranger });
    expect(answer?.fault?.code).toBe("credentials.unknown");
    expect((await control.askAll(slow, [server], { ms: 1 }))[0]?.fault).toBeUndefined();
  });
});

describe("a server whose key is revoked", () => {
  test("is cut off within a second, and stays so when the broker was restarted, while others are served on", async () => {
    const other = `c2b${count}`;
    (await broker.joinAsServer(other)).answer(slow, async () => ({}));
    const { current } = await mustAsk(control.askAll(makeBusKey, [server], {}));
    const startedAt = performance.now();
    await revoke(current);
    while ((await control.askAll(slow, [server], { ms: 1 }))[0]?.fault?.code !== "fabric.no-server") await sleep(10);
    expect(performance.now() - startedAt).toBeLessThan(1_000);
    await broker.kill();
    await broker.restart();
    const answers = async () => (await control.askAll(slow, [other], { ms: 1 }, { timeoutMs: 500 }))[0]?.fault === undefined;
    while (!(await answers())) await sleep(50);
    await sleep(1_500);
    expect((await control.askAll(slow, [server], { ms: 1 }))[0]?.fault?.code).toBe("fabric.no-server");
    expect(await broker.connectionsOf(server)).toBe(0);
  }, 30_000);
});

import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { until } from "#base/retry.ts";
import { action, jobAction, streamAction } from "#contract/action.ts";
import { endRequest } from "#contract/actions/request.ts";
import type { JobEvent } from "#contract/events.ts";
import { startBroker, type TestBroker } from "#harness/broker.ts";
import type { AgentFabric, ControlFabric } from "./fabric.ts";

const count = streamAction("trial.count", {
  summary: "Count until told to stop",
  input: z.object({ upTo: z.int() }),
  part: z.object({ number: z.int() }),
  output: z.object({ counted: z.int() }),
  timeoutMs: 30_000,
  idempotent: true,
  faults: [],
});

const dig = jobAction("trial.dig", {
  summary: "Dig a hole",
  input: z.object({ metres: z.number() }),
  result: z.object({ dug: z.number() }),
  limitMs: 2_000,
  idempotent: false,
  faults: [],
});

const bump = action("trial.bump", {
  summary: "What does harm when it is done twice",
  input: z.object({}),
  output: z.object({ bumps: z.int() }),
  timeoutMs: 2_000,
  idempotent: false,
  faults: [],
});

let broker: TestBroker;
let control: ControlFabric;
let box: AgentFabric;
let wasToldToStop = false;
let bumps = 0;

/** A server with what the tests ask for; a second one of its name takes its place, as a restarted agent does. */
async function join(server: string): Promise<AgentFabric> {
  const joined = await broker.joinAsServer(server);
  joined.answerInParts(count, async ({ upTo }, { send, signal }) => {
    for (let number = 1; number <= upTo && !signal.aborted; number++) {
      send({ number });
      await sleep(20);
    }
    wasToldToStop = signal.aborted;
    return { counted: upTo };
  });
  joined.answerWithJob(dig, async ({ metres }, { signal, report }) => {
    if (metres < 0) throw new Error("no hole is that shallow");
    for (let dug = 0; dug < metres; dug++) {
      report(`${dug} m`);
      await sleep(50, undefined, { signal });
    }
    return { dug: metres };
  });
  joined.answer(bump, async () => ({ bumps: ++bumps }));
  return joined;
}

beforeAll(async () => {
  broker = await startBroker();
  control = await broker.joinAsControl();
  box = await join("c1b1");
});
afterAll(() => broker.stop());

describe("an answer in parts", () => {
  test("arrives part by part, in order, and then its end", async () => {
    const heard: unknown[] = [];
    for await (const told of control.follow(count, ["c1b1"], { upTo: 3 })) heard.push("part" in told ? told.part : told.output);
    expect(heard).toEqual([{ number: 1 }, { number: 2 }, { number: 3 }, { counted: 3 }]);
  });

  test("that nobody waits for any more ends on the server, too", async () => {
    const calledOff = new AbortController();
    const ends: (string | undefined)[] = [];
    for await (const told of control.follow(count, ["c1b1"], { upTo: 10_000 }, { signal: calledOff.signal })) {
      if ("part" in told) calledOff.abort();
      else ends.push(told.fault?.code);
    }
    expect(ends).toEqual(["fabric.cancelled"]);
    expect(await until("the server to stop", async () => wasToldToStop || null, { timeoutMs: 5_000 })).toBe(true);
  });

  test("is refused to an action that answers once", async () => {
    const once = action(count.name, { ...count, output: z.object({ number: z.int() }) });
    const { manner: _, ...plain } = { ...once, manner: undefined };
    expect((await control.askAll(plain, ["c1b1"], { upTo: 2 }))[0]?.fault?.code).toBe("fabric.malformed");
  });
});

async function begin(metres: number): Promise<string> {
  const [answer] = await control.askAll(dig, ["c1b1"], { metres });
  if (answer?.output === undefined) throw new Error(answer?.fault?.message);
  return answer.output.job;
}

function whenOver(id: string): Promise<JobEvent> {
  const over = async () => (await control.listJobs()).find(({ job, state }) => job === id && state !== "running") ?? null;
  return until("the job to end", over, { timeoutMs: 10_000 });
}

describe("a job", () => {
  test("has its id at once, tells how it gets on, and what it came to", async () => {
    const id = await begin(30);
    expect(await whenOver(id)).toMatchObject({
      server: "c1b1",
      action: "trial.dig",
      caller: "control",
      state: "done",
      result: { dug: 30 },
    });
    const told: string[] = [];
    for await (const { event } of control.readEvents({ job: id }, AbortSignal.timeout(10_000)))
      if (event.kind === "job") told.push(`${event.state} ${event.line}`);
    expect(told).toEqual(["running begun", expect.stringMatching(/^running \d+ m$/), "done done"]);
  });

  test("that fails says why, and one that takes too long says so", async () => {
    expect(await whenOver(await begin(-1))).toMatchObject({ state: "failed", line: "no hole is that shallow" });
    expect(await whenOver(await begin(1_000))).toMatchObject({ state: "failed", line: "took longer than 2 s" });
  });

  test("is cancelled by its id, once", async () => {
    const request = await begin(1_000);
    expect((await control.askAll(endRequest, ["c1b1"], { request }))[0]?.output).toEqual({ wasUnderWay: true });
    expect(await whenOver(request)).toMatchObject({ state: "cancelled" });
    expect((await control.askAll(endRequest, ["c1b1"], { request }))[0]?.output).toEqual({ wasUnderWay: false });
  });

  test("is begun once, however often its request comes", async () => {
    const options = { id: "7c9e6679-7425-40de-944b-e07fc1f90ae7" };
    expect((await control.askAll(dig, ["c1b1"], { metres: 1 }, options))[0]?.output).toEqual({ job: options.id });
    expect((await control.askAll(dig, ["c1b1"], { metres: 1 }, options))[0]?.fault?.code).toBe("fabric.refused-replayed");
    await whenOver(options.id);
  });

  test("of which a server has enough is refused", async () => {
    const answers = await Promise.all(Array.from({ length: 9 }, () => control.askAll(dig, ["c1b1"], { metres: 1_000 })));
    const refused = answers.flat().filter(({ fault }) => fault?.code === "job.too-many");
    expect(refused).toHaveLength(1);
    const begun = answers.flat().flatMap(({ output }) => (output === undefined ? [] : [output.job]));
    for (const request of begun) await control.askAll(endRequest, ["c1b1"], { request });
    for (const job of begun) await whenOver(job);
  });

  test("whose agent is restarted is told of as interrupted, by the next", async () => {
    const id = await begin(1_000);
    await box.close();
    box = await join("c1b1");
    expect(await whenOver(id)).toMatchObject({ state: "interrupted", line: "its agent was restarted" });
  });
});

test("what does harm when it is done twice is not done again by a restarted agent", async () => {
  const options = { id: "0e37df36-f698-11e6-8dd4-cb9ced3df976" };
  expect((await control.askAll(bump, ["c1b1"], {}, options))[0]?.output).toEqual({ bumps: 1 });
  await box.close();
  box = await join("c1b1");
  expect((await control.askAll(bump, ["c1b1"], {}, options))[0]?.fault?.code).toBe("fabric.refused-replayed");
  expect(bumps).toBe(1);
});

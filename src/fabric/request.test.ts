import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { SEED } from "#harness/seed.ts";
import { VirtualClock } from "#harness/virtual-clock.ts";
import type { Answer, Limits } from "./fabric.ts";
import { Request } from "./request.ts";

const TIMEOUT_MS = 1_000;

/** How a scripted server behaves: answers or fails after some time, or stays silent. */
interface Behaviour {
  readonly afterMs: number | null;
  readonly fails: boolean;
}

interface Trace {
  readonly answers: Answer<string>[];
  readonly askedAtMs: Map<string, number>;
  readonly endedAtMs: number;
  readonly mostAtOnce: number;
}

/** Plays a request against scripted servers in virtual time. */
async function play(servers: Record<string, Behaviour>, limits: Limits = {}, cancelAtMs?: number): Promise<Trace> {
  const clock = new VirtualClock(SEED);
  const askedAtMs = new Map<string, number>();
  const open = new Set<string>();
  let mostAtOnce = 0;
  const request: Request<string> = new Request<string>({
    action: "trial",
    servers: Object.keys(servers),
    timeoutMs: TIMEOUT_MS,
    limits,
    clock,
    send: (server) => {
      if (askedAtMs.has(server)) throw new Error(`${server} was asked twice`);
      askedAtMs.set(server, clock.elapsedMs());
      open.add(server);
      mostAtOnce = Math.max(mostAtOnce, open.size);
      const { afterMs, fails } = servers[server] ?? { afterMs: null, fails: false };
      // A little before the request gives it up: of what happens at one moment, either may come first.
      clock.after(TIMEOUT_MS - 0.5, () => open.delete(server));
      if (afterMs === null) return;
      clock.after(afterMs, () => {
        open.delete(server);
        request.settle(server, fails ? { fault: { code: "trial.failed", message: "no", next: null } } : { output: "yes" }, { isOwn: true });
      });
    },
  });
  if (cancelAtMs !== undefined) clock.after(cancelAtMs, () => request.cancel());
  request.start();
  const answers: Answer<string>[] = [];
  let endedAtMs = Number.NaN;
  await clock.during(async () => {
    for await (const answer of request.answers) answers.push(answer);
    endedAtMs = clock.elapsedMs();
  });
  return { answers, askedAtMs, endedAtMs, mostAtOnce };
}

const good = (afterMs: number): Behaviour => ({ afterMs, fails: false });
const bad = (afterMs: number): Behaviour => ({ afterMs, fails: true });
const silent: Behaviour = { afterMs: null, fails: false };
const told = ({ answers }: Trace): string[] => answers.map(({ server, fault }) => `${server} ${fault?.code ?? "answers"}`);

describe("a request", () => {
  test("asks all at once, and a silent server delays no other's answer and costs its own time limit", async () => {
    const trace = await play({ a: silent, b: good(300), c: good(10) });
    expect(told(trace)).toEqual(["c answers", "b answers", "a fabric.timed-out"]);
    expect(trace.endedAtMs).toBe(TIMEOUT_MS);
    expect(trace.mostAtOnce).toBe(3);
  });

  test("keeps so many at work and no more; a silent one holds its place only", async () => {
    const trace = await play({ a: silent, b: good(100), c: good(100), d: good(100) }, { atOnce: 2 });
    expect([...trace.askedAtMs]).toEqual([
      ["a", 0],
      ["b", 0],
      ["c", 100],
      ["d", 200],
    ]);
  });

  test("goes in batches, with a pause after the last answer of each", async () => {
    const trace = await play({ a: good(10), b: good(50), c: good(10), d: bad(10), e: good(1) }, { batch: { size: 2, pauseMs: 500 } });
    expect([...trace.askedAtMs.values()]).toEqual([0, 0, 550, 550, 1_060]);
    expect(trace.endedAtMs).toBe(1_061);
  });

  test.each([
    { stopAfter: { failures: 2 }, asked: ["a", "b", "c"] },
    { stopAfter: { percent: 40 }, asked: ["a", "b", "c"] },
    { stopAfter: { percent: 1 }, asked: ["a"] },
  ])("stops after $stopAfter; those left are told apart from those that failed", async ({ stopAfter, asked }) => {
    const trace = await play({ a: bad(10), b: good(10), c: bad(10), d: good(10), e: good(10) }, { atOnce: 1, stopAfter });
    expect([...trace.askedAtMs.keys()]).toEqual(asked);
    const left = trace.answers.filter(({ fault }) => fault?.code === "fabric.not-asked").map(({ server }) => server);
    expect(left.sort()).toEqual(["a", "b", "c", "d", "e"].filter((server) => !asked.includes(server)));
  });

  test("ends at its deadline, whatever is under way or waits", async () => {
    const trace = await play({ a: good(100), b: silent, c: good(1) }, { atOnce: 1, deadlineMs: 700 });
    expect(told(trace).sort()).toEqual(["a answers", "b fabric.timed-out", "c fabric.not-asked"]);
    expect(trace.endedAtMs).toBe(700);
  });

  test("that is cancelled asks nobody else and says what had been asked", async () => {
    const trace = await play({ a: good(100), b: good(300), c: good(1) }, { atOnce: 1 }, 200);
    expect(told(trace).sort()).toEqual(["a answers", "b fabric.cancelled", "c fabric.not-asked"]);
    expect(trace.endedAtMs).toBe(200);
  });

  test("to very many lets the first answer before the last are asked; cancelled then, it asks no more of them", async () => {
    const servers = Array.from({ length: 1_000 }, (_, index) => `s${index}`);
    const asked: string[] = [];
    const request = new Request<string>({
      action: "trial",
      servers,
      timeoutMs: TIMEOUT_MS,
      limits: {},
      send: (server) => asked.push(server),
    });
    request.start();
    const first = asked.length;
    expect(first).toBeLessThan(servers.length);
    await new Promise(setImmediate);
    expect(asked.length).toBeGreaterThan(first);
    expect(asked).toEqual(servers.slice(0, asked.length));
    const before = asked.length;
    request.cancel();
    await new Promise(setImmediate);
    expect(asked.length).toBe(before);
    const codes: (string | undefined)[] = [];
    for await (const { fault } of request.answers) codes.push(fault?.code);
    expect(codes.filter((code) => code === "fabric.cancelled").length).toBe(before);
    expect(codes.filter((code) => code === "fabric.not-asked").length).toBe(servers.length - before);
  });

  test("to nobody ends at once", async () => {
    expect(await play({})).toMatchObject({ answers: [], endedAtMs: 0 });
  });

  test("whatever servers do and limits say: one answer for each, none asked twice, limits kept, and it ends", async () => {
    const behaviour = fc.record({ afterMs: fc.option(fc.nat(1_500)), fails: fc.boolean() });
    const servers = fc.dictionary(fc.stringMatching(/^[a-z][0-9]{1,2}$/), behaviour, { maxKeys: 15 });
    const limits = fc.record(
      {
        atOnce: fc.integer({ min: 1, max: 5 }),
        batch: fc.record({ size: fc.integer({ min: 1, max: 4 }), pauseMs: fc.nat(100) }),
        stopAfter: fc.oneof(
          fc.record({ failures: fc.integer({ min: 1, max: 5 }) }),
          fc.record({ percent: fc.integer({ min: 1, max: 100 }) }),
        ),
        deadlineMs: fc.integer({ min: 1, max: 3_000 }),
      },
      { requiredKeys: [] },
    ) as fc.Arbitrary<Limits>;
    await fc.assert(
      fc.asyncProperty(servers, limits, fc.option(fc.nat(2_000), { nil: undefined }), async (script, given, cancelAtMs) => {
        const trace = await play(script, given, cancelAtMs);
        expect(trace.answers.map(({ server }) => server).sort()).toEqual(Object.keys(script).sort());
        expect(trace.mostAtOnce).toBeLessThanOrEqual(Math.min(given.atOnce ?? 99, given.batch?.size ?? 99));
        expect(trace.endedAtMs).toBeLessThanOrEqual(given.deadlineMs ?? 600_000);
        const notAsked = trace.answers.filter(({ fault }) => fault?.code === "fabric.not-asked");
        expect(notAsked.every(({ server }) => !trace.askedAtMs.has(server))).toBe(true);
        expect(notAsked.length + trace.askedAtMs.size).toBe(trace.answers.length);
      }),
    );
  });
});

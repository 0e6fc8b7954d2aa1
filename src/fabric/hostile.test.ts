import { randomUUID, X509Certificate } from "node:crypto";
import type { ConsumerInfo } from "@nats-io/jetstream";
import { headers, type NatsConnection, type RequestOptions } from "@nats-io/transport-node";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { z } from "zod";
import { timestamp } from "#base/clock.ts";
import { until } from "#base/retry.ts";
import { streamAction } from "#contract/action.ts";
import type { Sealed } from "#contract/envelope.ts";
import type { ServerStatus } from "#contract/status.ts";
import { startBroker, type TestBroker } from "#harness/broker.ts";
import { pushWith } from "#harness/push.ts";
import { act } from "#harness/trial-act.ts";
import { Signer } from "./envelope.ts";
import type { AgentFabric, ControlFabric } from "./fabric.ts";
import { createYardKeys } from "./identity.ts";
import { openSealed, sealTo } from "./sealing.ts";

const flood = streamAction("trial.flood", {
  summary: "Answer in parts",
  input: z.object({}),
  part: z.object({ number: z.int() }),
  output: z.object({}),
  timeoutMs: 2_000,
  idempotent: true,
  faults: [],
});

/** What nobody can make anything of. */
const NONSENSE: readonly (readonly [what: string, data: string])[] = [
  ["nothing", ""],
  ["no JSON", "\u0000\u0001{"],
  ["a number", "7"],
  ["null", "null"],
  ["deep nesting", "[".repeat(200_000)],
  ["four megabytes", "x".repeat(4 << 20)],
];

const NO_ENVELOPES: typeof NONSENSE = [
  ...NONSENSE,
  ["a payload that is no text", JSON.stringify({ payload: { a: 1 }, signature: "x" })],
  ["a signature that is none", JSON.stringify({ payload: "{}", signature: "\uffff".repeat(1_000) })],
  ["a name that poisons", '{"__proto__":{"payload":"{}","signature":""}}'],
];

const specOf = (server: string, generation: number) => ({
  ...{ yard: "trial", server, address: "127.0.0.1", neighbours: [], roles: {}, brokers: [], policy: {} },
  generation,
});

let broker: TestBroker;
let control: ControlFabric;
let victim: AgentFabric;
const done: string[] = [];

beforeAll(async () => {
  broker = await startBroker();
  control = await broker.joinAsControl();
  victim = await broker.joinAsServer("c1b1");
  victim.answer(act, async ({ text }) => {
    done.push(text);
    return { done: true };
  });
});
afterAll(() => broker.stop());
beforeEach(() => {
  done.length = 0;
});

/** The victim still does what control asks, once: nothing that came before has harmed it. */
async function isUnharmed(): Promise<boolean> {
  const [answer] = await control.askAll(act, ["c1b1"], { text: "genuine" });
  return answer?.output?.done === true && done.join() === "genuine";
}

/** Whoever owns the broker can send anything to anybody, and hears everything; what he lacks is control's key. */
describe("a broker in wrong hands", () => {
  let bus: NatsConnection;
  beforeAll(async () => {
    bus = await broker.connectPlainly();
  });

  async function send(subject: string, data: string | Uint8Array): Promise<string | undefined> {
    const answer = await bus.request(subject, data, { timeout: 3_000 });
    return (answer.json() as { fault?: { code: string } }).fault?.code;
  }

  test("cannot have a recorded request carried out again, not by another server, and not under another action's name", async () => {
    const other = await broker.joinAsServer("c1b2");
    other.answer(act, async () => {
      done.push("by another");
      return { done: true };
    });
    const recorded: Uint8Array[] = [];
    const recording = bus.subscribe("request.c1b1.>", { callback: (_, message) => void recorded.push(message.data) });
    await bus.flush();
    expect(await isUnharmed()).toBe(true);
    recording.unsubscribe();
    const [message = new Uint8Array()] = recorded;
    for (let time = 0; time < 3; time++) expect(await send("request.c1b1.trial.act", message)).toBe("fabric.refused-replayed");
    expect(await send("request.c1b2.trial.act", message)).toBe("fabric.refused-target");
    expect(await send("request.c1b1.request.end", message)).toBe("fabric.refused-target");
    expect(done).toEqual(["genuine"]);
  });

  test("cannot forge one: not with its own key, not by changing what was signed, not by taking the expiry away", async () => {
    const forged = { id: "f1", target: "c1b1", action: act.name, body: { text: "forged" }, caller: "operator", validMs: 60_000 };
    const stranger = new Signer("trial", createYardKeys().signerPrivatePem);
    expect(await send("request.c1b1.trial.act", stranger.seal(forged))).toBe("fabric.refused-signature");
    const genuine = new Signer("trial", broker.keys.signerPrivatePem).seal(forged);
    expect(await send("request.c1b1.trial.act", genuine.replace("forged", "foxged"))).toBe("fabric.refused-signature");
    expect(await send("request.c1b1.trial.act", genuine.replace(/,\\"expiresAt\\":\\"[^"]*\\"/, ""))).toBe("fabric.refused-signature");
    expect(done).toEqual([]);
    expect(await isUnharmed()).toBe(true);
  });

  test.each(NO_ENVELOPES)("gets %s refused, and the server goes on", async (_, data) => {
    expect(await send("request.c1b1.trial.act", data)).toMatch(/^fabric\.(malformed|refused-signature)$/);
    expect(await isUnharmed()).toBe(true);
  });

  test("cannot give a server another's spec, or one that it has written by itself", async () => {
    // Without control, which would answer first.
    const own = await startBroker();
    try {
      const alone = await own.joinAsServer("c1b1");
      const signed = (server: string, key: string) =>
        new Signer("trial", key).seal({ id: "spec-7", target: server, action: "spec", body: sealed, caller: "control" });
      const sealed = sealTo(
        new X509Certificate((await own.enrolmentOf("c1b1")).certificatePem).publicKey,
        JSON.stringify(specOf("c1b1", 7)),
      );
      let given = "";
      const wire = await own.connectPlainly();
      wire.subscribe("from.c1b1.spec", { callback: (_, message) => void message.respond(given) });
      await wire.flush();
      given = signed("c9b9", own.keys.signerPrivatePem);
      await expect(alone.readSpec()).rejects.toMatchObject({ code: "fabric.refused-target" });
      given = signed("c1b1", createYardKeys().signerPrivatePem);
      await expect(alone.readSpec()).rejects.toMatchObject({ code: "fabric.refused-signature" });
    } finally {
      await own.stop();
    }
  });

  test("sees no spec: it is sealed to its server, whoever asks, and nothing of it is kept", async () => {
    const seen: string[] = [];
    const listening = bus.subscribe(">", { callback: (_, message) => void seen.push(message.string()) });
    await bus.flush();
    const secret = "correct horse battery staple";
    await control.putSpec({ ...specOf("c1b1", 9), neighbours: [], policy: { [secret]: [] } });
    expect(Object.keys((await victim.readSpec())?.policy ?? {})).toEqual([secret]);
    const { certificatePem } = await broker.enrolmentOf("c1b1");
    const other = await broker.enrolmentOf("c1b2");
    const heard = bus.subscribe("_INBOX_c1b1.mine", { max: 2 });
    for (const certificate of [certificatePem, other.certificatePem])
      bus.publish("from.c1b1.spec", certificate, { reply: "_INBOX_c1b1.mine" });
    const answers: string[] = [];
    for await (const message of heard) answers.push(message.string());
    const { body } = JSON.parse(JSON.parse(answers[0] ?? "").payload) as { body: Sealed };
    expect(() => openSealed(body, other.keyPem)).toThrow(/sealed to another key/);
    expect(JSON.parse(answers[1] ?? "")).toEqual({ refused: "c1b1 shows no valid certificate of its own" });
    expect(seen.some((text) => text.includes(body.data))).toBe(true);
    expect(seen.filter((text) => text.includes(secret))).toEqual([]);
    const { streams } = (await bus.request("$JS.API.STREAM.NAMES", "")).json<{ streams: string[] }>();
    expect(streams.sort()).toEqual(["EVENTS", "PUSHES"]);
    listening.unsubscribe();
  });

  test.each(NONSENSE)("gets nothing for %s on any subject that somebody listens to", async (what, data) => {
    const git = await broker.joinAsServer("git1", ["git"]);
    const listening = new AbortController();
    const heard: string[] = [];
    const following = (async () => {
      for await (const event of git.followDeployments(listening.signal)) if (event.kind === "deployment") heard.push(event.line);
    })();
    const consuming = Promise.all([
      control.consumePushes(async ({ id }) => void heard.push(id), listening.signal),
      control.consumeRefusals(async () => undefined, listening.signal),
    ]);
    const subjects = [
      "news.deployment",
      "from.c1b1.event",
      "from.git1.push",
      "from.c1b1.spec",
      "event.c1b9.refused",
      "push.git1.s1",
      "status.c1b1",
      "nudge.c1b1",
      "nudge.git1",
      "_INBOX_c1b1.x",
    ];
    for (const subject of subjects) bus.publish(subject, data);
    await bus.flush();
    await git.publishPush(pushWith({ id: `after-${what}` }));
    const deployment = { deployment: 1, website: "s1", push: null, commit: "a".repeat(40), server: null, line: "news" } as const;
    await control.publishEvent({ kind: "deployment", at: timestamp(), state: "live", ...deployment });
    await until("both to come", async () => heard.length === 2 || null, { timeoutMs: 5_000 });
    expect(heard.sort()).toEqual([`after-${what}`, "news"]);
    const isEmpty = async (): Promise<true | null> => {
      const { num_pending, num_ack_pending } = (await bus.request("$JS.API.CONSUMER.INFO.PUSHES.control", "")).json<ConsumerInfo>();
      return num_pending + num_ack_pending === 0 ? true : null;
    };
    await until("nothing to be left", isEmpty, { timeoutMs: 5_000 });
    expect(await isUnharmed()).toBe(true);
    listening.abort();
    await Promise.all([following, consuming]);
    await git.close();
  });

  test("wears nobody down with nudges", async () => {
    for (let count = 0; count < 10_000; count++) bus.publish("nudge.c1b1", "look again");
    await bus.flush();
    expect(await isUnharmed()).toBe(true);
  });
});

/** A server in wrong hands speaks to the broker directly, with its own credentials. */
describe("a server in wrong hands", () => {
  let bus: NatsConnection;
  beforeAll(async () => {
    bus = await broker.takeOver("c1b9");
  });
  afterAll(() => bus.close());

  /** What it answers to the next request, in its own words. */
  function answerWith(...answers: (string | Uint8Array)[]): void {
    bus.subscribe("request.c1b9.>", { max: 1, callback: (_, message) => answers.forEach((answer) => void message.respond(answer)) });
  }

  const reply = (rest: object): string => JSON.stringify({ server: "c1b9", last: true, durationMs: 1, ...rest });

  test.each([
    ["nonsense", "hello"],
    ["nothing", ""],
    ["another shape", reply({ output: { done: "yes" } })],
    ["a part of what has none", reply({ last: false, output: { done: true } })],
    ["a megabyte", "y".repeat(1 << 20)],
    ["deep nesting", "[".repeat(100_000)],
  ])("that answers with %s has answered for itself alone", async (_, answer) => {
    answerWith(answer);
    await bus.flush();
    const answers = await control.askAll(act, ["c1b9", "c1b1"], { text: "genuine" });
    const codes = Object.fromEntries(answers.map(({ server, fault }) => [server, fault?.code ?? "answers"]));
    expect(codes).toEqual({ c1b9: "fabric.malformed", c1b1: "answers" });
  });

  test("cannot answer for another: where its answer goes says who it is", async () => {
    answerWith(JSON.stringify({ server: "c1b1", last: true, durationMs: 1, output: { done: true } }));
    await bus.flush();
    const answers = await control.askAll(act, ["c1b9", "c1b1"], { text: "genuine" });
    expect(answers.map(({ server }) => server).sort()).toEqual(["c1b1", "c1b9"]);
    expect(done).toEqual(["genuine"]);
  });

  test("that answers a thousand times has answered once", async () => {
    answerWith(...Array.from({ length: 1_000 }, () => reply({ output: { done: true } })));
    await bus.flush();
    expect(await control.askAll(act, ["c1b9"], { text: "x" })).toHaveLength(1);
  });

  test("that floods a reader with parts is ended by its time limit", async () => {
    const parts = Array.from({ length: 5_000 }, (_, number) => reply({ last: false, output: { number } }));
    answerWith(...parts);
    await bus.flush();
    let last: unknown;
    for await (const told of control.follow(flood, ["c1b9"], {}, { timeoutMs: 500 })) last = told;
    expect(last).toMatchObject({ fault: { code: "fabric.timed-out" } });
  });

  const status = (server: string): ServerStatus => {
    const at = timestamp();
    return { server, at, startedAt: at, count: 1, generation: 1, targetGeneration: 1, roles: ["box"], faults: [], releases: {}, facts: {} };
  };

  test("is believed of itself alone: heartbeats of others, and what is too large, count for nothing", async () => {
    const huge = { ...status("c1b9"), facts: Object.fromEntries(Array.from({ length: 20_000 }, (_, n) => [`fact${n}`, "z".repeat(20)])) };
    bus.publish("status.c1b9", JSON.stringify(huge));
    bus.publish("status.c1b9", "{");
    bus.publish("status.c1b9", JSON.stringify(status("c1b1")));
    bus.publish("status.c1b9", JSON.stringify(status("c1b9")));
    await until("the genuine heartbeat", async () => control.registry().has("c1b9") || null, { timeoutMs: 5_000 });
    expect([...control.registry().keys()]).toEqual(["c1b9"]);
    expect(control.registry().get("c1b9")?.facts).toEqual({});
  });

  const handIn = async (event: unknown, options: Partial<RequestOptions> = {}): Promise<unknown> =>
    (await bus.request("from.c1b9.event", JSON.stringify({ id: randomUUID(), body: event }), { timeout: 3_000, ...options })).json();

  const lines = async (): Promise<string[]> => {
    const told: string[] = [];
    for await (const { event } of control.readEvents({ last: 1_000 }, AbortSignal.timeout(10_000)))
      if ("line" in event) told.push(String(event.line));
    return told;
  };

  test("tells of itself alone, and nothing that is control's to tell", async () => {
    const refused = (server: string, line: string) => ({
      ...{ kind: "refused", at: timestamp(), server, code: "fabric.malformed", action: "trial.act", count: 1 },
      line,
    });
    const deployment = { deployment: 1, website: "s1", push: "s1-abc", commit: "a".repeat(40), state: "live", server: null };
    const forged = [
      refused("c1b1", "forged: of another"),
      { kind: "server", at: timestamp(), server: "c1b9", change: { what: "removed" } },
      { kind: "server", at: timestamp(), server: "c1b9", line: "forged: a server's change in another form" },
      { kind: "unknown", of: "server", at: timestamp(), server: "c1b9", line: "forged: what is made of what is unknown", details: {} },
      { kind: "wiped.>", at: timestamp(), server: "c1b9", line: "forged: of a kind that is a pattern" },
      { kind: "wiped", at: timestamp(), server: "c1b1", line: "forged: unknown, of another" },
      { kind: "deployment", at: timestamp(), ...deployment, line: "forged: live" },
      "forged",
    ];
    const git = await broker.joinAsServer("git1", ["git"]);
    const listening = new AbortController();
    const heard: unknown[] = [];
    const following = (async () => {
      for await (const event of git.followDeployments(listening.signal)) heard.push(event);
    })();
    for (const event of forged) expect(await handIn(event)).toMatchObject({ refused: expect.any(String) });
    expect(await handIn(refused("c1b9", `${"w".repeat(300 << 10)}`))).toMatchObject({ refused: expect.any(String) });
    const rollup = headers();
    // With this header a stream would forget all that came before.
    rollup.set("Nats-Rollup", "all");
    await control.publishEvent({ kind: "lost", at: timestamp(), server: "c1b1", count: 1, line: "kept" });
    expect(await handIn(refused("c1b9", "of itself"), { headers: rollup })).toEqual({ refused: null });
    expect((await lines()).filter((line) => /^(forged|kept|of itself)/.test(line))).toEqual(["kept", "of itself"]);
    listening.abort();
    await following;
    expect(heard).toEqual([]);
    await git.close();
  });

  test("cannot use up another's event by handing in one of the same id before", async () => {
    const told = (server: string) => ({ kind: "converged", at: timestamp(), server, generation: 1, changed: [server], faults: [] });
    const plain = await broker.connectPlainly();
    const ids: string[] = [];
    const spying = plain.subscribe("from.c1b1.event", { callback: (_, message) => void ids.push(message.json<{ id: string }>().id) });
    await plain.flush();
    await victim.publishEvent({ ...told("c1b1"), kind: "converged" });
    const [first = ""] = ids;
    const next = first.replace(/[0-9]+$/, (count) => String(Number(count) + 1));
    for (const id of [next, `c1b1-${next}`]) await bus.request("from.c1b9.event", JSON.stringify({ id, body: told("c1b9") }));
    await victim.publishEvent({ ...told("c1b1"), kind: "converged" });
    expect(ids).toEqual([first, next]);
    const changed: string[] = [];
    for await (const { event } of control.readEvents({ last: 4 }, AbortSignal.timeout(10_000)))
      if (event.kind === "converged") changed.push(...event.changed);
    expect(changed).toEqual(["c1b1", "c1b9", "c1b9", "c1b1"]);
    spying.unsubscribe();
  });
});

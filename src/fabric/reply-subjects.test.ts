import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { timestamp } from "#base/clock.ts";
import type { Role } from "#contract/names.ts";
import { startBroker, type TestBroker } from "#harness/broker.ts";
import { act } from "#harness/trial-act.ts";
import type { ControlFabric } from "./fabric.ts";
import { rightsOf } from "./identity.ts";

let broker: TestBroker;
let control: ControlFabric;

beforeAll(async () => {
  broker = await startBroker();
  control = await broker.joinAsControl();
  (await broker.joinAsServer("c1b1")).answer(act, async () => ({ done: true }));
});
afterAll(() => broker.stop());

/** The broker asks nobody for the right to name a subject as the one to reply to. */
describe("a subject to reply to", () => {
  const ROLES: readonly Role[][] = [["control"], ["edge"], ["cache"], ["box"], ["shell"], ["git"], ["database"], ["builder"]];
  const TARGETS = [
    "$JS.API.STREAM.DELETE.EVENTS",
    "$JS.API.STREAM.PURGE.PUSHES",
    "$JS.API.STREAM.MSG.DELETE.EVENTS",
    "$JS.API.CONSUMER.DELETE.PUSHES.control",
    "push.git1.s1",
    "event.c1b1.server",
    "news.deployment",
    "request.c1b1.trial.act",
    "status.c1b1",
    "from.c1b1.event",
    "from.git1.push",
    "_INBOX_control.x",
    "_INBOX_c1b1.x",
  ];

  test("brings a server no right: what one may publish no server hears, and no stream keeps", () => {
    const streams = ["event.>", "push.>", "$JS.>", "$KV.>"];
    const all = ROLES.flatMap((roles, nth) => [rightsOf({ server: `c1x${nth}`, roles }), rightsOf({ server: `c2x${nth}`, roles })]);
    const heard = [...all.flatMap(({ subscribe }) => subscribe), ...streams];
    for (const subject of all.flatMap(({ publish }) => publish))
      expect(
        heard.filter((other) => overlap(subject, other)),
        subject,
      ).toEqual([]);
  });

  test("makes neither the broker nor control nor a server write there, whatever is sent with it and whoever listens", async () => {
    const [box, git] = [await broker.takeOver("c1b9"), await broker.takeOver("git9", ["git"])];
    const heardByGit: string[] = [];
    for (const subject of rightsOf({ server: "git9", roles: ["git"] }).subscribe)
      git.subscribe(subject, { callback: (_, message) => void heardByGit.push(message.subject) });
    await git.flush();
    await control.publishEvent({ kind: "lost", at: timestamp(), server: "c1b1", count: 1, line: "kept" });
    const wire = await broker.connectPlainly();
    const written: string[] = [];
    wire.subscribe(">", { callback: (_, { subject }) => void written.push(subject) });
    await wire.flush();
    const own = [
      ...rightsOf({ server: "c1b9", roles: ["box"] }).publish.map((subject) => [box, subject] as const),
      ...rightsOf({ server: "git9", roles: ["git"] }).publish.map((subject) => [git, subject] as const),
    ];
    for (const [bus, subject] of own)
      for (const reply of TARGETS) for (const data of ["", "{}", "{", "[".repeat(10_000)]) bus.publish(subject, data, { reply });
    await Promise.all([box.flush(), git.flush()]);
    for (const target of TARGETS) git.publish(target, "");
    await git.flush();
    expect((await control.askAll(act, ["c1b1"], { text: "genuine" }))[0]?.output?.done).toBe(true);
    // The broker has brought all of it before it answers.
    await wire.flush();
    const sent = new Set([...own.map(([, subject]) => subject), "request.c1b1.trial.act"]);
    expect(written.filter((subject) => !sent.has(subject) && !subject.startsWith("_ANSWER."))).toEqual([]);
    expect(written.filter((subject) => subject === "request.c1b1.trial.act")).toHaveLength(1);
    expect(heardByGit).toEqual([]);
    const kept: string[] = [];
    for await (const { event } of control.readEvents({ last: 1_000 }, AbortSignal.timeout(10_000)))
      if (event.kind === "lost") kept.push(event.line);
    expect(kept).toContain("kept");
    await Promise.all([box.close(), git.close(), wire.close()]);
  });

  test("of one server's answer does not tell where another's goes", async () => {
    const box = await broker.takeOver("c1b9");
    const asked: string[] = [];
    const refusals: string[] = [];
    void (async () => {
      for await (const status of box.status()) if (status.type === "error") refusals.push(String(status.error));
    })();
    box.subscribe("request.c1b9.>", {
      callback: (_, message) => {
        const { reply = "" } = message;
        asked.push(reply);
        const prefix = reply.slice(0, reply.lastIndexOf("."));
        for (const guess of [`${prefix}.c1b1`, `${prefix}.*`, reply.replace("c1b9", "c1b1")])
          box.publish(guess, JSON.stringify({ forged: true }));
      },
    });
    await box.flush();
    const answers = await control.askAll(act, ["c1b9", "c1b1"], { text: "genuine" }, { timeoutMs: 500 });
    const codes = Object.fromEntries(answers.map(({ server, fault }) => [server, fault?.code ?? "answers"]));
    expect(codes).toEqual({ c1b9: "fabric.timed-out", c1b1: "answers" });
    expect(asked).toHaveLength(1);
    await expect.poll(() => refusals.length).toBe(3);
    await box.close();
  });
});

/** Whether a message could be on both subjects. */
function overlap(one: string, other: string): boolean {
  const [ours, theirs] = [one.split("."), other.split(".")];
  const isRest = ours.indexOf(">") !== -1 || theirs.indexOf(">") !== -1;
  if (!isRest && ours.length !== theirs.length) return false;
  const fits = (a: string | undefined, b: string | undefined): boolean => a === b || [a, b].some((token) => token === "*");
  for (let nth = 0; nth < Math.max(ours.length, theirs.length); nth++) {
    if (ours[nth] === ">" || theirs[nth] === ">") return true;
    if (!fits(ours[nth], theirs[nth])) return false;
  }
  return true;
}

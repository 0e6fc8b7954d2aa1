import { afterEach, describe, expect, test } from "vitest";
import type { Event } from "#contract/events.ts";
import { ask, isBack, named, signalAgent } from "#harness/requests.ts";
import { inServer, mustInServer } from "#harness/servers.ts";
import { boxyard, boxyardJson, eventually, listServers } from "#harness/yard.ts";

const everyone = ["c1b1", "c1b2", "c1s", "c1v1", "c1v2"].map((server) => `${server} answers`);

describe("a target", () => {
  test("means servers by role, cluster and fact, as control last heard of them", async () => {
    const found = await boxyardJson<{ name: string; facts: Record<string, unknown> }[]>("find", "box and c1 and os.release=13");
    expect(found.map(({ name }) => name)).toEqual(["c1b1", "c1b2"]);
    expect(found[0]?.facts).toMatchObject({ "os.name": "debian", "agent.version": expect.any(String) });
    expect((await boxyard("find", "cache and c1", "--names")).stdout).toBe("c1v1\nc1v2");
  });

  test("is decided by the servers themselves when it asks what is so now", async () => {
    const live = await ask("service.status", "--service", "varnish", "--target", "c1 and service('varnish').active");
    expect(named(live)).toEqual(["c1v1 answers", "c1v2 answers"]);
    expect(live.summary.sums["state"]).toEqual({ kind: "distribution", counts: [{ value: "active", count: 2 }] });
    const { release } = await boxyardJson<{ release: string }>("website", "show", "s1");
    const carriers = await ask("server.ping", "--target", `c1 and release('s1')=${release.slice(0, 6)}`);
    expect(named(carriers)).toEqual(["c1b1 answers", "c1b2 answers", "c1s answers"]);
  });

  test("that cannot be read is shown with a caret under the fault", async () => {
    const { exitCode, stderr } = await boxyard("ping", "box adn c1");
    expect(exitCode).toBe(1);
    expect(stderr).toContain("  box adn c1\n      ^");
  });
});

describe("an action", () => {
  test("that changes something is carried out where it was asked for and nowhere else, one after the other", async () => {
    const startOf = (server: string) => mustInServer(server, "systemctl", "show", "-p", "ActiveEnterTimestampMonotonic", "memcached");
    const servers = ["c1v1", "c1v2"];
    const before = await Promise.all(servers.map(startOf));
    const one = await ask("service.restart", "--service", "memcached", "--target", "c1v1", "--at-once", "1");
    expect(one.summary).toMatchObject({ answered: 1, failed: [] });
    const after = await Promise.all(servers.map(startOf));
    expect(after[0]).not.toBe(before[0]);
    expect(after[1]).toBe(before[1]);
  });

  test("is not carried out on a server that lacks what it is for, and says so", async () => {
    const { answers, summary } = await ask("service.restart", "--service", "varnish", "--target", "c1b1");
    expect(answers[0]?.fault?.code).toBe("service.not-here");
    expect(summary.failed).toEqual(["c1b1"]);
  });

  test("stops after the first fault when told, and names whom it spared", async () => {
    const { summary } = await ask(
      "service.restart",
      "--service",
      "haproxy",
      "--target",
      "box and c1",
      "--at-once",
      "1",
      "--stop-after",
      "1",
    );
    expect(summary).toMatchObject({ answered: 0, failed: ["c1b1"], notAsked: ["c1b2"] });
  });
});

describe("an agent", () => {
  afterEach(async () => {
    await inServer("c1b2", ["systemctl", "kill", "--kill-whom=main", "--signal=CONT", "boxyard-agent"]);
    await isBack("c1b2");
  });

  test("that hangs costs its time limit and delays nobody; when it is known to be silent it is not waited for; then it is back", async () => {
    await signalAgent("c1b2", "STOP");
    const hanging = await ask("server.ping", "--target", "c1", "--timeout", "1");
    expect(named(hanging)).toEqual(everyone.map((line) => (line.startsWith("c1b2") ? "c1b2 fabric.timed-out" : line)));
    const others = hanging.answers.filter(({ server }) => server !== "c1b2");
    expect(Math.max(...others.map(({ durationMs }) => durationMs))).toBeLessThan(1_000);
    await eventually("c1b2 to be missed", async () =>
      (await listServers()).find(({ name, state }) => name === "c1b2" && state === "unreachable"),
    );
    const known = await ask("server.ping", "--target", "c1", "--timeout", "10");
    const silent = known.answers.find(({ server }) => server === "c1b2");
    expect(silent?.fault).toMatchObject({ code: "fabric.silent", message: expect.stringMatching(/silent since 20\d\d-/) });
    expect(known.summary.durationMs).toBeLessThan(5_000);
    await signalAgent("c1b2", "CONT");
    await isBack("c1b2");
    expect(named(await ask("server.ping", "--target", "c1"))).toEqual(everyone);
  });

  test("is restarted by request, answers before it ends, and comes back as a new process", async () => {
    const startedAt = async (): Promise<unknown> => (await ask("agent.version", "--target", "c1b2")).answers[0]?.output;
    const before = await startedAt();
    expect((await ask("agent.restart", "--target", "c1b2")).summary).toMatchObject({ answered: 1 });
    const after = await eventually("a new agent", async () => {
      const now = await startedAt();
      return now !== undefined && JSON.stringify(now) !== JSON.stringify(before) ? now : null;
    });
    expect(after).toMatchObject({ version: expect.any(String) });
  });

  test("whose process is killed is started again by the server, without a manual step", async () => {
    await signalAgent("c1b2", "KILL");
    await eventually("c1b2 to answer", async () => named(await ask("server.ping", "--target", "c1b2"))[0] === "c1b2 answers");
  });
});

interface Stored {
  readonly number: number;
  readonly event: Event;
}

describe("events", () => {
  const agentTold = async (generation: number): Promise<Stored | undefined> =>
    (await boxyardJson<Stored[]>("events", "--target", "c1v1", "--last", "500")).findLast(
      ({ event }) => event.kind === "converged" && event.generation === generation,
    );

  test("are in their order, go on after a known one, and can be those of some servers", async () => {
    const all = await boxyardJson<Stored[]>("events", "--last", "100");
    const numbers = all.map(({ number }) => number);
    expect(numbers).toEqual([...numbers].sort((a, b) => a - b));
    const middle = numbers[Math.floor(numbers.length / 2)] ?? 0;
    const rest = await boxyardJson<Stored[]>("events", "--after", String(middle));
    expect(rest[0]?.number).toBe(middle + 1);
    const ofCaches = await boxyardJson<Stored[]>("events", "--target", "cache", "--last", "500");
    expect(new Set(ofCaches.map(({ event }) => event.server?.replace(/\d+$/, "")))).toEqual(new Set(["c1v"]));
  });

  test("of a server that is cut off from the broker wait on its disk, and arrive when it is back", async () => {
    const rule = ["inet", "trial", "out", "tcp", "dport", "4222", "drop"];
    const drop = `nft add table inet trial && nft 'add chain inet trial out { type filter hook output priority 0; }' && nft add rule ${rule.join(" ")}`;
    await mustInServer("c1v1", "sh", "-c", drop);
    try {
      await eventually("c1v1 to be missed", async () =>
        (await listServers()).find(({ name, state }) => name === "c1v1" && state === "unreachable"),
      );
      // Mended by the agent alone, which tells of it although nobody can hear it.
      await mustInServer("c1v1", "sh", "-c", "echo broken > /etc/hosts && systemctl restart boxyard-agent");
      const spool = ["sh", "-c", "grep -c hosts /var/lib/boxyard/agent/events"];
      await eventually("the event to wait on disk", async () => (await inServer("c1v1", spool)).exitCode === 0, 90_000);
    } finally {
      await mustInServer("c1v1", "nft", "delete", "table", "inet", "trial");
    }
    await isBack("c1v1");
    const { targetGeneration } = (await listServers()).find(({ name }) => name === "c1v1") ?? { targetGeneration: 0 };
    const told = await eventually("the event to arrive", () => agentTold(targetGeneration));
    expect(told.event).toMatchObject({ changed: expect.arrayContaining(["file /etc/hosts"]) });
  });
});

describe("the broker", () => {
  test("that is killed while servers work is back by itself, every server with it, and each caller was told how his request ended", async () => {
    const asking = ask("server.converge", "--target", "all", "--timeout", "20");
    await mustInServer("control1", "systemctl", "kill", "--signal=KILL", "nats-server");
    const { answers, summary } = await asking;
    expect(answers).toHaveLength((await listServers()).filter(({ state }) => state !== "deleting").length);
    expect(summary.answered + summary.failed.length).toBe(answers.length);
    await eventually("all to answer", async () =>
      named(await ask("server.ping", "--timeout", "1")).every((line) => line.endsWith("answers")),
    );
  });
});

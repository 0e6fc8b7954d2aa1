import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Repository } from "#harness/repository.ts";
import { allAreBack, ask, named } from "#harness/requests.ts";
import { inServer, mustInServer, powerOff } from "#harness/servers.ts";
import { commitPage, createSite, removeSite } from "#harness/site.ts";
import { Visitor } from "#harness/visitor.ts";
import { bin, boxyard, boxyardJson, eventually, listServers, showWebsite, status, TEST_YARD, type WebsiteJson } from "#harness/yard.ts";

const DOMAIN = "brokers.example.test";
const BACK_MS = 120_000;
let repository: Repository;
let website: WebsiteJson;

beforeAll(async () => {
  ({ website, repository } = await createSite(DOMAIN));
});

afterAll(() => removeSite({ website, repository }));

interface StoredEventJson {
  readonly number: number;
  readonly event: { readonly kind: string; readonly at: string };
}

const events = (): Promise<StoredEventJson[]> => boxyardJson("events", "--last", "1000");
const up = (...args: string[]) => bin("up", ["--yard", TEST_YARD, "--bare", ...args]);

/** What each broker is, in the order of names. */
async function brokers(): Promise<string> {
  return (await status()).brokers.map(({ server, state }) => `${server} ${state}`).join(", ");
}

/** The pusher is told how it stands: live, or recorded and still to come, because brokers choose who leads for some seconds. */
async function push(version: string): Promise<string> {
  const commit = await commitPage(repository, version);
  const { exitCode, stderr } = await repository.push(website.gitUrl);
  expect(exitCode === 0 || stderr.includes("recorded as push"), stderr).toBe(true);
  return commit;
}

async function isLiveEverywhere(commit: string): Promise<void> {
  const isLive = async (): Promise<boolean> => (await showWebsite(website.id)).servers.every(({ release }) => release === commit);
  await eventually("the push to be live on every server", isLive, BACK_MS);
}

/** Who does not answer, though asked a second time. */
async function silentTwice(): Promise<string[]> {
  const failed = named(await ask("server.ping", "--target", "all")).filter((line) => !line.endsWith("answers"));
  if (failed.length === 0) return [];
  const again = failed.map((line) => line.split(" ")[0]).join(" or ");
  return named(await ask("server.ping", "--target", again)).filter((line) => !line.endsWith("answers"));
}

/** While the work goes on, a server's broker is dead, and nobody can start it. */
async function whileBrokerIsDead(server: string, work: () => Promise<void>): Promise<void> {
  await mustInServer(server, "systemctl", "mask", "--runtime", "nats-server");
  await mustInServer(server, "systemctl", "kill", "--signal=KILL", "nats-server");
  try {
    await work();
  } finally {
    await mustInServer(server, "systemctl", "unmask", "--runtime", "nats-server");
    await mustInServer(server, "systemctl", "start", "nats-server");
  }
}

async function connectionsAt(server: string): Promise<number> {
  const { stdout } = await inServer(server, ["ss", "-Htn", "state", "established", "( sport = :4222 )"]);
  return stdout.split("\n").filter((line) => line !== "").length;
}

describe("a yard with one broker", () => {
  test("goes on to three with all that it had; asked again it has nothing to do, and it does not go back", async () => {
    await isLiveEverywhere(await push("one broker"));
    const before = await events();
    const grown = await up("--control-replicas", "3");
    expect(grown.exitCode, grown.stderr + grown.stdout).toBe(0);
    await eventually("three brokers", async () => (await brokers()) === "control1 ready, control2 ready, control3 ready", BACK_MS);
    const after = new Map((await events()).map(({ number, event }) => [number, JSON.stringify(event)]));
    for (const { number, event } of before) expect(after.get(number)).toBe(JSON.stringify(event));
    for (const { name } of await listServers()) {
      const enrolment = JSON.parse(await mustInServer(name, "cat", "/etc/boxyard/agent.json")) as { brokers: string[] };
      expect(enrolment.brokers).toHaveLength(3);
    }
    const again = await up();
    expect(again.stderr).toMatch(/Brokers: three \(\d\.\d s\)/);
    const back = await up("--control-replicas", "1");
    expect([back.exitCode, back.stderr]).toEqual([1, expect.stringContaining("does not go back to one")]);
    expect((await boxyard("status")).stdout).toMatch(/troubles +none/);
  }, 400_000);
});

describe("three brokers", () => {
  test.each(["control1", "control2", "control3"])(
    "go on without that of %s: a push goes live, everybody answers, and it is named",
    async (server) => {
      await whileBrokerIsDead(server, async () => {
        const [commit, silent] = await Promise.all([push(`without the broker of ${server}`), silentTwice()]);
        expect(silent).toEqual([]);
        await isLiveEverywhere(commit);
        expect((await new Visitor(DOMAIN).get("/")).text).toBe(`without the broker of ${server}`);
        await eventually("it to be named", async () =>
          (await boxyard("status")).stdout.includes(`the broker on ${server} does not answer`),
        );
      });
      await allAreBack(BACK_MS);
      await eventually(
        "it to have everything",
        async () => (await brokers()) === "control1 ready, control2 ready, control3 ready",
        BACK_MS,
      );
    },
  );

  test("go on when the power of control2 goes; it comes back by itself and has everything", async () => {
    await powerOff("control2");
    const [commit, silent] = await Promise.all([push("without control2"), silentTwice()]);
    expect(silent.filter((line) => !line.startsWith("control2 "))).toEqual([]);
    await isLiveEverywhere(commit);
    await allAreBack(BACK_MS);
    await eventually("it to have everything", async () => (await brokers()) === "control1 ready, control2 ready, control3 ready", BACK_MS);
  });

  test("keep a push when the power of control1 goes, with control and its database; it is live when control is back", async () => {
    const servers = (await listServers()).length;
    await powerOff("control1");
    const connections = async (): Promise<number> => (await connectionsAt("control2")) + (await connectionsAt("control3"));
    await eventually("all agents but its own to be at the other brokers", async () => (await connections()) >= servers - 1);
    const pushing = push("without control1");
    const back = await up();
    expect(back.exitCode, back.stderr + back.stdout).toBe(0);
    const commit = await pushing;
    await isLiveEverywhere(commit);
    await allAreBack(BACK_MS);
    expect((await new Visitor(DOMAIN).get("/")).text).toBe("without control1");
  }, 300_000);
});

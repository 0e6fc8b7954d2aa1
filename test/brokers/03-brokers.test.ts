// Takes over five minutes: each loss of a control server has to be recovered from before the next.
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFailed, test } from "vitest";
import { reportFault } from "#base/fault.ts";
import { ETCD_KEY, PEER_AUTHORITY, PEER_CERTIFICATE } from "#control/setup/replica-files.ts";
import type { Repository } from "#harness/repository.ts";
import { allAreBack, ask, named } from "#harness/requests.ts";
import { destroy, freeze, inServer, mustInServer, powerOff, thaw } from "#harness/servers.ts";
import { commitPage, createSite, removeSite } from "#harness/site.ts";
import { Visitor } from "#harness/visitor.ts";
import {
  bin,
  boxyard,
  boxyardJson,
  eventually,
  lastDeployment,
  listDeployments,
  listServers,
  releaseOnAll,
  showWebsite,
  status,
  TEST_YARD,
  type WebsiteJson,
  yardState,
} from "#harness/yard.ts";

const DOMAIN = "brokers.example.test";
const BACK_MS = 120_000;
let repository: Repository;
let website: WebsiteJson;

beforeAll(async () => {
  ({ website, repository } = await createSite(DOMAIN));
});

afterAll(() => removeSite({ website, repository }));

beforeEach(() => onTestFailed(showControlServers));

const CONTROL_SERVERS = ["control1", "control2", "control3"] as const;

/** What the control servers were at when a test failed: nobody can look at them afterwards. */
async function showControlServers(): Promise<void> {
  for (const server of CONTROL_SERVERS)
    for (const unit of ["boxyard-control", "patroni", "nats-server"]) {
      const said = await inServer(server, ["journalctl", "-u", unit, "-n", "25", "-o", "short-precise", "--no-pager"]).catch(reportFault);
      console.error(`── ${server}: ${unit}\n${"message" in said ? said.message : said.stdout + said.stderr}`);
    }
}

interface StoredEventJson {
  readonly number: number;
  readonly event: { readonly kind: string; readonly at: string };
}

/** The streams have no leader for some seconds after a broker is gone. */
const events = (): Promise<StoredEventJson[]> => eventually("the events", () => boxyardJson<StoredEventJson[]>("events", "--last", "1000"));
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

/** Control servers with what they are, in the order of names. */
async function controls(): Promise<string> {
  return (await status()).control.servers.map(({ server, state }) => `${server} ${state}`).join(", ");
}

async function leader(): Promise<string> {
  const found = (await status()).control.servers.find(({ state }) => state === "leads");
  return found?.server ?? "nobody";
}

async function allStandBy(): Promise<void> {
  const standBy = async (): Promise<boolean> => (await controls()).split(", ").filter((one) => one.endsWith("stands by")).length === 2;
  await eventually("two control servers to stand by", standBy, BACK_MS);
}

function inDatabase(query: string): string[] {
  return ["runuser", "-u", "postgres", "--", "psql", "-XtA", "-d", "boxyard", "-c", query];
}

async function etcdctl(server: string, ...argv: string[]): Promise<string> {
  const tls = [`--cacert=${PEER_AUTHORITY}`, `--cert=${PEER_CERTIFICATE}`, `--key=${ETCD_KEY}`];
  const endpoints = `--endpoints=${(await status()).control.servers.map(({ address }) => `https://${address}:2379`).join(",")}`;
  return mustInServer(server, "etcdctl", ...tls, endpoints, ...argv);
}

async function leadEtcd(server: string): Promise<void> {
  const member = (await etcdctl(server, "member", "list")).split("\n").find((line) => line.includes(`, ${server}, `));
  await etcdctl(server, "move-leader", member?.split(", ")[0] ?? "");
}

async function termAt(server: string): Promise<number> {
  return Number(await mustInServer(server, ...inDatabase("select term from leadership")));
}

/** Whether live or turned back: its deployment has come to an end. */
async function isDecided(commit: string): Promise<void> {
  const ended = async (): Promise<boolean> =>
    (await listDeployments(website.id)).some((one) => one.commit === commit && one.finishedAt !== null);
  await eventually("the deployment to come to an end", ended, BACK_MS);
}

describe("a yard with one broker", () => {
  test("goes on to three with all that it had; asked again it has nothing to do, and it does not go back", async () => {
    await isLiveEverywhere(await push("one broker"));
    const before = await events();
    const grown = await up("--control-replicas", "3");
    expect(grown.exitCode, grown.stderr + grown.stdout).toBe(0);
    await eventually("three brokers", async () => (await brokers()) === "control1 ready, control2 ready, control3 ready", BACK_MS);
    const after = new Map((await events()).map(({ number, event }) => [number, JSON.stringify(event)]));
    // Of a thousand the first ones have given way to new ones.
    for (const { number, event } of before.slice(-200)) expect(after.get(number)).toBe(JSON.stringify(event));
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
  test.each(CONTROL_SERVERS)("go on without that of %s: a push goes live, everybody answers, and it is named", async (server) => {
    await whileBrokerIsDead(server, async () => {
      const [commit, silent] = await Promise.all([push(`without the broker of ${server}`), silentTwice()]);
      expect(silent).toEqual([]);
      await isLiveEverywhere(commit);
      expect((await new Visitor(DOMAIN).get("/")).text).toBe(`without the broker of ${server}`);
      await eventually("it to be named", async () => (await boxyard("status")).stdout.includes(`the broker on ${server} does not answer`));
    });
    await allAreBack(BACK_MS);
    await eventually("it to have everything", async () => (await brokers()) === "control1 ready, control2 ready, control3 ready", BACK_MS);
  });
});

describe("three control servers", () => {
  test("stand by for the one that leads, each with a copy of all that it knows", async () => {
    await allStandBy();
    for (const server of CONTROL_SERVERS) {
      const known = await mustInServer(server, ...inDatabase("select name from domain order by name"));
      expect(known).toContain(DOMAIN);
    }
  });

  // Twice: the second time a server leads that has become a copy of another one's database.
  test.each(["first", "second"])(
    "go on when the power of the one that leads goes, for the %s time: nothing is lost, a push goes live, and it comes back by itself",
    async (time) => {
      const before = await events();
      const led = await leader();
      await boxyardJson("domain", "add", website.id, `${time}.example.test`);
      await powerOff(led);
      const [commit, silent] = await Promise.all([push(`the ${time} time`), silentTwice()]);
      expect(silent.filter((line) => !line.startsWith(`${led} `))).toEqual([]);
      expect(await leader()).not.toBe(led);
      await isLiveEverywhere(commit);
      expect((await new Visitor(DOMAIN).get("/")).text).toBe(`the ${time} time`);
      expect((await showWebsite(website.id)).domains.map(({ name }) => name)).toContain(`${time}.example.test`);
      const after = new Map((await events()).map(({ number, event }) => [number, JSON.stringify(event)]));
      for (const { number, event } of before.slice(-200)) expect(after.get(number)).toBe(JSON.stringify(event));
      await allAreBack(BACK_MS);
      await allStandBy();
    },
    400_000,
  );

  test("leave no website half done when the power of the one that leads goes in the middle of a deployment", async () => {
    const led = await leader();
    const commit = await commitPage(repository, "in the middle");
    const pushing = repository.push(website.gitUrl);
    await eventually("the deployment to be under way", async () => {
      const newest = await lastDeployment(website.id);
      return newest.commit === commit && newest.state !== "received";
    });
    await powerOff(led);
    const { exitCode, stderr } = await pushing;
    expect(exitCode === 0 || stderr.includes("recorded as push"), stderr).toBe(true);
    await isDecided(commit);
    await releaseOnAll(website.id);
    await isLiveEverywhere(await push("after it"));
    await allAreBack(BACK_MS);
    await allStandBy();
  }, 400_000);

  test("get the one that led back also when no majority of the brokers is there until it is", async () => {
    const led = await leader();
    const other = led === "control3" ? "control2" : "control3";
    await whileBrokerIsDead(other, async () => {
      await powerOff(led);
      await eventually("another one to lead", async () => ((await leader()) === led ? null : true), BACK_MS);
      await isLiveEverywhere(await push("without a majority of the brokers"));
    });
    await allAreBack(BACK_MS);
    await allStandBy();
  }, 400_000);

  test("obey one of them when the one that led stood still until another one did, and does not know it", async () => {
    await allStandBy();
    const led = await leader();
    const term = await termAt(led);
    // One that leads etcd, too, does not know either that others have renewed their leases meanwhile.
    await leadEtcd(led);
    await freeze(led);
    let commit: string;
    try {
      await eventually("another one to lead", async () => (await leader()) !== led, BACK_MS);
      commit = await push("while it stood still");
      await isLiveEverywhere(commit);
    } finally {
      await thaw(led);
    }
    const leads = await leader();
    expect(leads).not.toBe(led);
    expect(await termAt(leads)).toBeGreaterThan(term);
    await allAreBack(BACK_MS);
    await allStandBy();
    expect(await leader()).toBe(leads);
    await isLiveEverywhere(commit);
    expect((await listDeployments(website.id)).map((one) => one.commit)).toContain(commit);
    expect(await mustInServer(led, ...inDatabase("select pg_is_in_recovery()"))).toBe("t");
  }, 400_000);

  // control3 is made by control, control1 by the host: and with it nobody may make a second authority.
  test.each(["control3", "control1"])(
    "get %s back by bin/up when its disk is gone: as one of three, with all that the others know and the same authority",
    async (lost) => {
      const { caPem } = await yardState();
      await destroy(lost);
      const again = await up();
      expect(again.exitCode, again.stderr + again.stdout).toBe(0);
      await allStandBy();
      await eventually("three brokers", async () => (await brokers()) === "control1 ready, control2 ready, control3 ready", BACK_MS);
      expect((await yardState()).caPem).toBe(caPem);
      expect(await mustInServer(lost, ...inDatabase("select name from domain"))).toContain(DOMAIN);
      await isLiveEverywhere(await push(`after ${lost} was lost`));
      expect((await new Visitor(DOMAIN).get("/")).text).toBe(`after ${lost} was lost`);
      await eventually("no troubles", async () => /troubles +none/.test((await boxyard("status")).stdout), BACK_MS);
    },
    400_000,
  );
});

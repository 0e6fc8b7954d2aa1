// Takes about four minutes: a server is cut off for a minute, clocks are wrong, the disk of the broker is full.
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Event } from "#contract/events.ts";
import type { Job } from "#contract/job.ts";
import { giveBrokerItsDisk, killService, whileBrokerIsFull, whileCutOff, withWrongClock } from "#harness/faults.ts";
import type { Repository } from "#harness/repository.ts";
import { allAreBack, ask, isBack, named, signalAgent } from "#harness/requests.ts";
import { inServer, mustInServer } from "#harness/servers.ts";
import { commitPage, createSite, removeSite } from "#harness/site.ts";
import { Visitor } from "#harness/visitor.ts";
import {
  boxyard,
  boxyardJson,
  eventually,
  listDeployments,
  listServers,
  releaseOnAll,
  showWebsite,
  type WebsiteJson,
} from "#harness/yard.ts";

const DOMAIN = "fabric-faults.example.test";
let repository: Repository;
let website: WebsiteJson;

beforeAll(async () => {
  ({ website, repository } = await createSite(DOMAIN));
});

afterAll(() => removeSite({ website, repository }));

/** When a service's process began, by which one sees whether it was restarted. */
function startOf(server: string, service: string): Promise<string> {
  return mustInServer(server, "systemctl", "show", "-p", "ActiveEnterTimestampMonotonic", service);
}

async function stateOf(server: string): Promise<string> {
  const found = (await listServers()).find(({ name }) => name === server);
  return `${found?.state} ${found?.reason ?? ""}`;
}

async function jobsOf(id: string): Promise<Job> {
  const [job] = await boxyardJson<Job[]>("jobs", id).catch(async () => JSON.parse((await boxyard("jobs", id, "--json")).stdout) as Job[]);
  if (job === undefined) throw new Error(`no job ${id}`);
  return job;
}

describe("a job on a real server", () => {
  test("goes on without its caller, and is cancelled by anybody who may", async () => {
    const { request } = await ask("server.scrub", "--target", "c1b1", "--path", "/usr", "--megabytesPerSecond", "1");
    await eventually("news of it", async () => (await jobsOf(request)).servers[0]?.line.includes("MB"));
    const { exitCode, stdout } = await boxyard("jobs", request.slice(0, 8), "--cancel");
    expect([exitCode, stdout]).toEqual([0, expect.stringContaining("cancelled")]);
  });

  test("whose agent is killed is told of as interrupted, and the server takes the next", async () => {
    const { request } = await ask("server.scrub", "--target", "c1b1", "--path", "/usr", "--megabytesPerSecond", "1");
    await signalAgent("c1b1", "KILL");
    await eventually("it to be told of", async () => (await jobsOf(request)).servers[0]?.state === "interrupted");
    await isBack("c1b1");
    const next = await ask("server.scrub", "--target", "c1b1", "--path", "/etc/apache2");
    await eventually("the next to be done", async () => (await jobsOf(next.request)).servers[0]?.state === "done");
  });
});

describe("the journal of a service", () => {
  test("arrives line by line from many servers, and ends there when nobody follows it any more", async () => {
    const followed = boxyard("do", "log.tail", "--service", "memcached", "--target", "cache and c1", "--lines", "0", "--timeout", "6");
    await sleep(2_500);
    for (const server of ["c1v1", "c1v2"]) await mustInServer(server, "systemctl", "restart", "memcached");
    const { stdout } = await followed;
    for (const server of ["c1v1", "c1v2"]) expect(stdout).toMatch(new RegExp(`^${server} +20\\d\\d-.* Started memcached`, "m"));
    await eventually("the followers to be gone", async () => (await inServer("c1v1", ["pgrep", "journalctl"])).exitCode === 1);
  });
});

describe("the control service that is killed", () => {
  test("during a request has its caller told, asks nobody else, and is back with every server", async () => {
    const before = await startOf("c1v2", "memcached");
    const asking = boxyard("do", "service.restart", "--service", "memcached", "--target", "cache and c1", "--batch", "1", "--pause", "60");
    await eventually("the first answer", async () => JSON.stringify(await boxyardJson("audit", "--last", "3")).includes("service.restart"));
    await sleep(1_500);
    await mustInServer("control1", "systemctl", "kill", "--signal=KILL", "boxyard-control");
    const { exitCode, stderr } = await asking;
    expect(exitCode).toBe(1);
    expect(stderr).toMatch(/broke off after 1 of 2 answers|does not answer/);
    await allAreBack();
    expect(await startOf("c1v2", "memcached")).toBe(before);
  });
});

describe("the database of a control server that is alone", () => {
  test("comes back by itself when it is killed, and control with it", async () => {
    const killedAtMs = Date.now();
    await killService("control1", "postgresql@17-main");
    await eventually("control to answer", async () => (await boxyard("status")).exitCode === 0, 60_000);
    await allAreBack();
    // The agent's turn would start it, too, but only every five minutes.
    expect(Number(await mustInServer("control1", "systemctl", "show", "--value", "-p", "NRestarts", "postgresql@17-main"))).toBeGreaterThan(
      0,
    );
    expect(Date.now() - killedAtMs).toBeLessThan(4 * 60_000);
  });
});

describe("the broker that is killed", () => {
  test("during deployments loses none and doubles none: every push is live on every server, once", async () => {
    const accepted: string[] = [];
    for (const [index, afterMs] of [0, 150, 400].entries()) {
      const commit = await commitPage(repository, `broker ${index}`);
      const pushing = repository.push(website.gitUrl);
      await sleep(afterMs);
      await mustInServer("control1", "systemctl", "kill", "--signal=KILL", "nats-server");
      const pushed = await pushing;
      // The pusher is told how it stands: live, recorded and still to come, or undone because the servers heard of the instant too late.
      expect(pushed.exitCode === 0 || /recorded|follow|deployment|rolled back|cannot switch/i.test(pushed.stderr), pushed.stderr).toBe(
        true,
      );
      accepted.push(commit);
      const newest = async () => (await listDeployments(website.id)).find((one) => one.commit === commit && one.finishedAt !== null);
      const deployment = await eventually(`push ${index} to end`, newest, 90_000);
      if (deployment.state !== "live") {
        // Undone everywhere for want of a broker; the same push again is a deployment like any other.
        expect(await releaseOnAll(website.id)).not.toBe(commit);
        await allAreBack();
        const again = await repository.push(website.gitUrl);
        expect(again.exitCode, again.stderr).toBe(0);
      }
      await eventually("every server to have it", async () =>
        (await showWebsite(website.id)).servers.every(({ release }) => release === commit),
      );
      expect((await new Visitor(DOMAIN).get("/")).text).toBe(`broker ${index}`);
    }
    const pushes = (await listDeployments(website.id)).map(({ push }) => push);
    expect(new Set(pushes).size).toBe(pushes.length);
    await allAreBack();
  });
});

describe("a server that is cut off from the network, both ways, for a minute", () => {
  test("is missed, is named at once, serves nobody's request twice, and is back by itself", async () => {
    await whileCutOff("c1b2", async () => {
      const hanging = await ask("server.ping", "--target", "c1", "--timeout", "1");
      expect(named(hanging)).toContain("c1b2 fabric.timed-out");
      await eventually("c1b2 to be missed", async () => (await stateOf("c1b2")).startsWith("unreachable"));
      expect(named(await ask("server.ping", "--target", "c1b2"))).toEqual(["c1b2 fabric.silent"]);
      await sleep(50_000);
    });
    await isBack("c1b2");
    for (let nth = 0; nth < 5; nth++) expect(named(await ask("server.ping", "--target", "c1b2"))).toEqual(["c1b2 answers"]);
  });
});

describe("a server whose clock is off by five minutes", () => {
  test.each([
    { seconds: -300, code: "fabric.refused-early", says: "behind" },
    { seconds: 300, code: "fabric.refused-expired", says: "ahead of" },
  ])("($seconds s) is said to be, and refuses what it cannot judge", async ({ seconds, code, says }) => {
    let commit = "";
    await withWrongClock("c1b2", seconds, async () => {
      const state = await eventually("its clock to be noticed", async () => {
        const now = await stateOf("c1b2");
        return now.includes("its clock is") && now;
      });
      expect(state).toMatch(new RegExp(`^failed its clock is (299|300|301) s ${says} control's`));
      expect(named(await ask("server.ping", "--target", "c1b2"))).toEqual([`c1b2 ${code}`]);
      commit = await commitPage(repository, `clock ${seconds}`);
      const pushed = await repository.push(website.gitUrl);
      expect(pushed.exitCode, pushed.stderr).toBe(0);
      expect(pushed.stderr).toMatch(/going on without c1b2, it is fenced/);
      for (let request = 0; request < 6; request++) expect((await new Visitor(DOMAIN).get(`/?${request}`)).text).toBe(`clock ${seconds}`);
    });
    await isBack("c1b2");
    await eventually("it to return", async () => (await stateOf("c1b2")).startsWith("ready"));
    expect(await releaseOnAll(website.id)).toBe(commit);
    const refused = await boxyardJson<{ kind: string; target: string; details: { fault?: string } }[]>("audit", "--last", "500");
    expect(refused.some(({ kind, target, details }) => kind === "refused" && target === "c1b2" && details.fault?.startsWith(code))).toBe(
      true,
    );
  });
});

/** What control has stored of a deployment in its own database. */
async function storedLines(deployment: number): Promise<string[]> {
  const query = `select event->>'line' from deployment_event where deployment = ${deployment} order by seq`;
  const said = await mustInServer("control1", "runuser", "-u", "postgres", "--", "psql", "-XtA", "-d", "boxyard", "-c", query);
  return said.split("\n").filter(Boolean);
}

/** What stands of it in the stream of events. */
async function toldLines(deployment: number): Promise<string[]> {
  const stored = await boxyardJson<{ event: Event }[]>("events", "--last", "2000");
  return stored.flatMap(({ event }) => (event.kind === "deployment" && event.deployment === deployment ? [event.line] : []));
}

describe("the broker's disk", () => {
  afterAll(async () => {
    await giveBrokerItsDisk();
    await allAreBack();
  });

  test("that is full stops no request and loses nothing: what could not be stored arrives when there is room", async () => {
    const release = await commitPage(repository, "before");
    expect((await repository.push(website.gitUrl)).exitCode).toBe(0);
    const commit = await commitPage(repository, "room");
    let repair = 0;
    await whileBrokerIsFull(async () => {
      await allAreBack();
      // Control's own events wait, too: those of a deployment that no push has to bring.
      repair = (await boxyardJson<{ id: number }>("deploy", website.id, "--ref", release)).id;
      await boxyard("domain", "add", website.id, "full.example.test", "--no-wait");
      await mustInServer("c1v1", "sh", "-c", "echo broken > /etc/hosts");
      expect(named(await ask("server.converge", "--target", "c1v1"))).toEqual(["c1v1 answers"]);
      const pushed = await repository.push(website.gitUrl);
      // What is small may still find room in a block that is there; what finds none is recorded on the git server.
      expect(pushed.stderr).toMatch(/recorded as push|live: https/);
      await eventually("the trouble to be named", async () => (await boxyard("status")).stdout.includes("no space left on device"));
    });
    await eventually(
      "the push to be live",
      async () => (await showWebsite(website.id)).servers.every(({ release }) => release === commit),
      120_000,
    );
    await eventually("the domain to be served", async () => (await new Visitor("full.example.test").get("/")).text === "room");
    type Told = { event: { changed?: string[] } }[];
    await eventually("what the cache has told", async () => {
      const events = await boxyardJson<Told>("events", "--target", "c1v1", "--last", "50");
      return events.some(({ event }) => event.changed?.includes("file /etc/hosts"));
    });
    const lines = await storedLines(repair);
    expect(lines.length).toBeGreaterThan(2);
    await eventually("all of control's events", async () => (await toldLines(repair)).length >= lines.length);
    expect((await toldLines(repair)).sort()).toEqual(lines.sort());
    await eventually("no trouble to be left", async () => /troubles +none/.test((await boxyard("status")).stdout));
  });
});

describe("the credentials of a server", () => {
  test("are renewed while it works; when they are revoked it is cut off at once, serves its websites on, and can be readmitted", async () => {
    const { stdout, stderr } = await boxyard("server", "renew", "all");
    expect(stdout, stderr).toMatch(/^(\d+) of \1 servers have a new key$/m);
    expect(named(await ask("server.ping", "--target", "all")).every((line) => line.endsWith("answers"))).toBe(true);
    await boxyard("server", "revoke", "c1b2", "--yes");
    expect(named(await ask("server.ping", "--target", "c1b2"))[0]).toMatch(/^c1b2 fabric\.(no-server|silent)$/);
    expect(await stateOf("c1b2")).toMatch(/^unreachable its credentials were revoked/);
    await mustInServer("c1b2", "systemctl", "restart", "boxyard-agent");
    await sleep(3_000);
    expect(named(await ask("server.ping", "--target", "c1b2"))[0]).toMatch(/^c1b2 fabric\.(no-server|silent)$/);
    expect((await new Visitor(DOMAIN).get("/")).text).toBe("room");
    await boxyard("server", "readmit", "c1b2");
    await isBack("c1b2");
  });
});

describe("a person with a rule for the caches", () => {
  test("restarts a cache's service and no box's, and is judged by the servers themselves", async () => {
    const file = "/tmp/boxyard-test-access.json";
    await boxyard("policy", "allow", "caches", "service.*", "--on", "cache");
    await boxyard("person", "add", "anna", "--role", "caches", "--access", file);
    await allAreBack();
    process.env["BOXYARD_ACCESS"] = file;
    try {
      expect(named(await ask("service.restart", "--service", "memcached", "--target", "c1v1"))).toEqual(["c1v1 answers"]);
      expect((await boxyard("do", "service.restart", "--service", "cron", "--target", "c1b1")).stderr).toContain("anna may not ask c1b1");
      expect((await boxyard("website", "list")).stderr).toContain("for operators");
    } finally {
      delete process.env["BOXYARD_ACCESS"];
      await boxyard("person", "remove", "anna", "--yes");
    }
  });
});

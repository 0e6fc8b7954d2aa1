// Takes about two minutes: caches and boxes restart one after the other.
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Event } from "#contract/events.ts";
import { mustInServer, readInServer } from "#harness/servers.ts";
import { commitPage, createSite, removeSite, type Site } from "#harness/site.ts";
import { Visitor } from "#harness/visitor.ts";
import { boxyard, boxyardJson, eventually, status } from "#harness/yard.ts";

const DOMAIN = "waves.example.test";
const PAUSE_MS = 40;
const SLOW_SECONDS = 4;
let site: Site;

beforeAll(async () => {
  site = await createSite(DOMAIN);
  await commitPage(site.repository, "one", {
    "docroot/cached.php": "<?php header('Cache-Control: public, max-age=600'); echo microtime();",
    "docroot/slow.php": `<?php header('Cache-Control: no-store'); sleep(${SLOW_SECONDS}); echo 'slow';`,
    "docroot/send.php": `<?php header('Cache-Control: no-store'); if (isset($_GET['slow'])) sleep(${SLOW_SECONDS}); echo $_POST['word'] ?? 'nothing';`,
  });
  const pushed = await site.repository.push(site.website.gitUrl);
  expect(pushed.exitCode, pushed.stderr).toBe(0);
}, 300_000);
afterAll(() => removeSite(site));

/** Visitors that come one after the other, each over a connection of its own, until they are stopped; gives what they met that was wrong. */
function visit(): { stop(): Promise<{ readonly visits: number; readonly wrong: readonly string[] }> } {
  const wrong: string[] = [];
  const visits: Promise<void>[] = [];
  let isOver = false;
  const one = async (nth: number): Promise<void> => {
    const visitor = new Visitor(DOMAIN);
    const ways = [
      () => visitor.get(`/?${nth}`),
      () => visitor.get("/cached.php"),
      () => (nth % 20 === 2 ? visitor.get(`/slow.php?${nth}`) : visitor.get(`/?${nth}`)),
      // Nobody sends it again when it breaks off.
      () => visitor.post(nth % 20 === 3 ? "/send.php?slow" : "/send.php", { word: `w${nth}` }),
    ] as const;
    const page = await ways[nth % ways.length]?.().catch((thrown: unknown) => ({ status: 0, text: String(thrown) }));
    if (page?.status !== 200 || (nth % 4 === 3 && page.text !== `w${nth}`))
      wrong.push(`visit ${nth}: ${page?.status} ${page?.text.slice(0, 80)}`);
  };
  const coming = (async () => {
    for (let nth = 0; !isOver; nth++) {
      visits.push(one(nth));
      await sleep(PAUSE_MS);
    }
  })();
  return {
    stop: async () => {
      isOver = true;
      await coming;
      await Promise.all(visits);
      return { visits: visits.length, wrong };
    },
  };
}

const startOf = (server: string, unit: string): Promise<string> =>
  readInServer(server, "systemctl", "show", "--value", "-p", "ExecMainStartTimestampMonotonic", unit);

/** Who was fenced and who returned since then, in their order. */
async function rotations(after: number): Promise<string[]> {
  const stored = await boxyardJson<{ event: Event }[]>("events", "--after", String(after), "--target", "c1");
  return stored.flatMap(({ event }) =>
    event.kind === "server" && ["fenced", "unfenced"].includes(event.change.what) ? [`${event.server} ${event.change.what}`] : [],
  );
}

/** Somebody changes a file by hand that only a restart brings into use, on these servers at the same moment. */
async function change(servers: readonly string[], path: string): Promise<void> {
  await Promise.all(servers.map((server) => mustInServer(server, "sh", "-c", `echo '# Changed by hand.' >> ${path}`)));
  const asked = await boxyard("do", "server.converge", "--target", servers.join(" or "));
  expect(asked.exitCode, asked.stderr).toBe(0);
}

describe("what needs a restart", () => {
  test.each([
    ["caches", ["c1v1", "c1v2"], "varnish.service"],
    ["boxes", ["c1b1", "c1b2"], "apache2.service"],
  ] as const)("on all %s of a cluster happens on one at a time, without visitors, and no visitor notices", async (_kind, servers, unit) => {
    const after = (await boxyardJson<{ number: number }[]>("events", "--last", "1")).at(-1)?.number ?? 0;
    const before = await Promise.all(servers.map((server) => startOf(server, unit)));
    const visiting = visit();
    await change(servers, `/etc/systemd/system/${unit}.d/boxyard.conf`);
    await eventually(
      "all to have restarted, and to be in rotation",
      async () => {
        const now = await Promise.all(servers.map((server) => startOf(server, unit)));
        return now.every((at, nth) => at !== before[nth]) && (await rotations(after)).length === 2 * servers.length;
      },
      120_000,
    );
    const { visits, wrong } = await visiting.stop();
    expect(visits).toBeGreaterThan(100);
    expect(wrong).toEqual([]);
    // Who says first that it waits is the first.
    const inOrder = (order: readonly string[]) => order.flatMap((server) => [`${server} fenced`, `${server} unfenced`]);
    expect([inOrder(servers), inOrder(servers.toReversed())]).toContainEqual(await rotations(after));
    expect((await status()).troubles).toEqual([]);
  });

  test("and is the only one of its kind happens at once", async () => {
    const before = await startOf("db1", "mariadb.service");
    await change(["db1"], "/etc/mysql/mariadb.conf.d/90-boxyard.cnf");
    await eventually("it to have restarted", async () => (await startOf("db1", "mariadb.service")) !== before, 60_000);
    await eventually("all to be well", async () => (await status()).troubles.length === 0);
  });
});

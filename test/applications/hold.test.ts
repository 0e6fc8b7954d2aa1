// Takes over a minute: visitors wait for updates that take seconds.
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Repository } from "#harness/repository.ts";
import { allAreBack } from "#harness/requests.ts";
import { destroy, mustInServer } from "#harness/servers.ts";
import { commitPage, createSite, removeSite } from "#harness/site.ts";
import { senderOf, Visitor } from "#harness/visitor.ts";
import { eventually, lastDeployment, listServers, releaseOnAll, type WebsiteJson } from "#harness/yard.ts";

const DOMAIN = "hold.example.test";
const CONNECT =
  "$db = new PDO(sprintf('mysql:host=%s;port=%s;dbname=%s', $_SERVER['DB_HOST'], $_SERVER['DB_PORT'], $_SERVER['DB_NAME']), $_SERVER['DB_USER'], $_SERVER['DB_PASSWORD'], [PDO::MYSQL_ATTR_SSL_CA => '/etc/boxyard/ca.pem', PDO::MYSQL_ATTR_SSL_VERIFY_SERVER_CERT => false]);";
/** Each code reads a column of its own: with any other database it fails. */
const page = (version: string): string =>
  `<?php ${CONNECT} header(str_starts_with($_SERVER['REQUEST_URI'], '/?stored') ? 'Cache-Control: public, max-age=600' : 'Cache-Control: no-store'); echo '${version} ', $db->query('SELECT ${version} FROM state')->fetchColumn();`;
const MYSQL = 'mariadb -h "$DB_HOST" -P "$DB_PORT" -u "$DB_USER" -p"$DB_PASSWORD" --ssl-ca="$DB_SSL_CA" "$DB_NAME" -e';

let repository: Repository;
let website: WebsiteJson;

interface Update {
  readonly sql: string;
  readonly ending?: string;
  readonly deploy?: string;
}

/** A version whose update changes the database, works for a while, and ends as told. */
async function push(version: string, { sql, ending = "sleep 3", deploy = "hold" }: Update) {
  const boxfile = `version: 3\ndeploy: ${deploy}\nhooks:\n  snapshot: database\n  update:\n    - '${MYSQL} "${sql}"'\n    - ${ending}\n`;
  await repository.write({ "docroot/index.php": page(version), Boxfile: boxfile });
  await repository.commit(version);
  return repository.push(website.gitUrl);
}

/** What a visitor meets who asks for an uncached page after the other, and one for a stored page, until the work is done. */
async function visitDuring<T>(
  work: Promise<T>,
): Promise<{ result: T; pages: Set<string>; stored: { text: string; ms: number }[]; longestMs: number }> {
  let isOver = false;
  const pages = new Set<string>();
  const stored: { text: string; ms: number }[] = [];
  let longestMs = 0;
  const timed = async (path: string) => {
    const startedAtMs = performance.now();
    const { status, headers, text } = await new Visitor(DOMAIN).get(path);
    const by = status === 200 ? "" : `by ${senderOf(headers)} `;
    return { text: `${status} ${by}${text}`, ms: performance.now() - startedAtMs };
  };
  const visit = async (): Promise<void> => {
    for (let nth = 0; !isOver; nth++) {
      const { text, ms } = await timed(`/?${nth}`);
      pages.add(text);
      longestMs = Math.max(longestMs, ms);
    }
  };
  const look = async (): Promise<void> => {
    for (; !isOver; await sleep(50)) stored.push(await timed("/?stored"));
  };
  const visits = Promise.all([visit(), visit(), look()]);
  const result = await work.finally(() => {
    isOver = true;
  });
  await visits;
  return { result, pages, stored, longestMs };
}

beforeAll(async () => {
  ({ website, repository } = await createSite(DOMAIN));
  const { exitCode, stderr } = await push("one", { sql: "CREATE TABLE state (one INT); INSERT INTO state VALUES (1)", ending: "'true'" });
  expect(exitCode, stderr).toBe(0);
});

afterAll(() => removeSite({ website, repository }));

describe("a release in hold mode, whose database the old code cannot read", () => {
  test("lets visitors wait until it is updated: none meets an error, or code with a database of another; stored pages go on being served", async () => {
    await new Visitor(DOMAIN).get("/?stored");
    const { result, pages, stored, longestMs } = await visitDuring(
      push("two", { sql: "ALTER TABLE state CHANGE one two INT; UPDATE state SET two = 2" }),
    );
    expect(result.exitCode, result.stderr).toBe(0);
    expect([...pages].sort()).toEqual(["200 one 1", "200 two 2"]);
    expect(longestMs).toBeGreaterThan(2_500);
    expect(new Set(stored.map(({ text }) => text))).toEqual(new Set(["200 one 1", "200 two 2"]));
    expect(Math.max(...stored.map(({ ms }) => ms))).toBeLessThan(longestMs / 2);
    expect(result.stderr).toMatch(/switched at .*; visitors wait, each for 60 s at most/);
    expect(result.stderr).toContain("visitors who waited go on");
  });

  test("goes back with its database when the update fails, and visitors notice nothing but a pause", async () => {
    const { result, pages } = await visitDuring(
      push("three", { sql: "ALTER TABLE state CHANGE two three INT; UPDATE state SET three = 3", ending: "exit 7" }),
    );
    expect(result.exitCode).not.toBe(0);
    expect(result.stderr).toContain("hooks.update ended with exit status 7");
    expect(result.stderr).toMatch(/put db\d+ back as before the update/);
    expect([...pages]).toEqual(["200 two 2"]);
    expect(await lastDeployment(website.id)).toMatchObject({ state: "rolled-back" });
    await releaseOnAll(website.id);
  });

  test("holds on when control is killed meanwhile, and lets visitors go when it is live", async () => {
    const pushing = push("four", { sql: "ALTER TABLE state CHANGE two four INT; UPDATE state SET four = 4", ending: "sleep 5" });
    const killing = sleep(3_500).then(() => mustInServer("control1", "systemctl", "kill", "--signal=KILL", "boxyard-control"));
    const { result, pages } = await visitDuring(pushing);
    await killing;
    expect(result.exitCode, result.stderr).toBe(0);
    expect([...pages].sort()).toEqual(["200 four 4", "200 two 2"]);
  });

  test("asks those to come again who have waited for as long as the Boxfile says, and no box for them", async () => {
    const { result, pages } = await visitDuring(
      push("five", {
        sql: "ALTER TABLE state CHANGE four five INT; UPDATE state SET five = 5",
        ending: "sleep 5",
        deploy: "{mode: hold, seconds: 2}",
      }),
    );
    expect(result.exitCode, result.stderr).toBe(0);
    const [now, before, later, ...others] = [...pages].sort();
    expect(others).toEqual([]);
    expect([now, before]).toEqual(["200 five 5", "200 four 4"]);
    expect(later).toMatch(/^503 .*One moment, please/s);
  });

  test("goes on when a cache is lost meanwhile, whose successor sends nobody to the new code before it is updated", async () => {
    // A second attempt begins where the first one ended, when that is over.
    await allAreBack(120_000);
    await eventually("c1v2 to have visitors", async () => (await listServers()).find(({ name }) => name === "c1v2")?.state === "ready");
    const { text } = await new Visitor(DOMAIN).get("/?before");
    const [before, next, value] = text === "five 5" ? ["five", "six", 6] : ["six", "seven", 7];
    const sql = `ALTER TABLE state CHANGE ${before} ${next} INT; UPDATE state SET ${next} = ${value}`;
    const pushing = push(next, { sql, ending: "sleep 16" });
    const losing = eventually("visitors to wait", () => isHeld("c1v2", DOMAIN)).then(() => destroy("c1v2"));
    const { result, pages } = await visitDuring(pushing);
    await losing;
    expect(result.exitCode, result.stderr).toBe(0);
    expect([...pages].sort()).toEqual([`200 ${text}`, `200 ${next} ${value}`]);
    await allAreBack(120_000);
  });

  test("that is deleted while its visitors wait lets go of its domains, for whoever has them next", async () => {
    const doomed = await createSite("doomed.example.test");
    await commitPage(doomed.repository, "doomed", { Boxfile: "version: 3\ndeploy: hold\nhooks: {update: sleep 100}\n" });
    const pushing = doomed.repository.push(doomed.website.gitUrl);
    await eventually("visitors to wait", () => isHeld("c1v1", "doomed.example.test"));
    await removeSite(doomed);
    const next = await createSite("doomed.example.test");
    try {
      await commitPage(next.repository, "next");
      const { exitCode, stderr } = await next.repository.push(next.website.gitUrl);
      expect(exitCode, stderr).toBe(0);
      for (const cache of ["c1v1", "c1v2"]) expect(await isHeld(cache, "doomed.example.test")).toBe(false);
      expect((await new Visitor("doomed.example.test").get("/")).text).toBe("next");
      expect((await pushing).exitCode).not.toBe(0);
    } finally {
      await removeSite(next);
    }
  });
});

async function isHeld(cache: string, domain: string): Promise<boolean> {
  return (await mustInServer(cache, "ls", "/var/lib/boxyard-holds/domains")).split("\n").includes(domain);
}

// Takes over a minute: hooks that take seconds, and one that takes too long.
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Repository } from "#harness/repository.ts";
import { mustInServer } from "#harness/servers.ts";
import { commitPage, createSite, removeSite } from "#harness/site.ts";
import { Visitor } from "#harness/visitor.ts";
import { boxyard, lastDeployment, releaseOnAll, showWebsite, type WebsiteJson } from "#harness/yard.ts";

const DOMAIN = "hooks.example.test";
let repository: Repository;
let website: WebsiteJson;

beforeAll(async () => {
  ({ website, repository } = await createSite(DOMAIN));
  expect((await push("one", "version: 3\n")).exitCode).toBe(0);
});

afterAll(() => removeSite({ website, repository }));

async function push(version: string, boxfile: string) {
  await commitPage(repository, version, { Boxfile: boxfile });
  return repository.push(website.gitUrl);
}

async function expectVisitorsSee(version: string): Promise<void> {
  for (let request = 0; request < 6; request++) expect((await new Visitor(DOMAIN).get(`/?${request}`)).text).toBe(version);
}

/** What hooks have left in the website's private folder. */
function noted(): Promise<string> {
  return mustInServer("c1s", "sh", "-c", `cat /srv/files/${website.id}/private/noted 2>/dev/null || true`);
}

describe("a release with hooks", () => {
  const note = 'echo "$(id -un) $BOXYARD_RELEASE $(pwd)" >> private/noted';

  test("updates once, on the shell server, from the new release and with the website's own rights; the pusher sees it", async () => {
    const { exitCode, stderr } = await push(
      "two",
      `version: 3\nhooks:\n  update:\n    - '${note}'\n    - php -r 'echo getenv("DB_NAME"), PHP_EOL;'\n  after: echo all is well\n`,
    );
    expect(exitCode, stderr).toBe(0);
    const { release } = await showWebsite(website.id);
    expect(await noted()).toBe(`${website.id} ${release} /srv/sites/${website.id}/releases/${release}`);
    for (const line of [/ {2}\$ php -r/, / {2}db\d+/, /hooks\.update is done/, /live: https.*; hooks\.after runs now/])
      expect(stderr).toMatch(line);
    const watched = await boxyard("deployment", "watch", String((await lastDeployment(website.id)).id));
    expect(watched.exitCode, watched.stderr).toBe(0);
    for (const line of [/ {2}all is well/, /hooks\.after is done/]) expect(`${watched.stdout}${watched.stderr}`).toMatch(line);
    await expectVisitorsSee("two");
  });

  test("goes back everywhere when its update fails, and the pusher reads what it said", async () => {
    const { exitCode, stderr } = await push("three", "version: 3\nhooks:\n  update: echo no such table; exit 3\n");
    expect(exitCode).not.toBe(0);
    expect(stderr).toMatch(/ {2}no such table/);
    expect(stderr).toContain("hooks.update ended with exit status 3");
    expect(await lastDeployment(website.id)).toMatchObject({ state: "rolled-back" });
    await expectVisitorsSee("two");
    await releaseOnAll(website.id);
  });

  test("says none of the website's secrets, and what it said is kept", async () => {
    const { exitCode, stderr } = await push("masked", 'version: 3\nhooks:\n  update: echo "password $DB_PASSWORD of $DB_NAME"\n');
    expect(exitCode, stderr).toBe(0);
    expect(stderr).toMatch(/ {2}password \*\*\* of db\d+/);
    const { id } = await lastDeployment(website.id);
    const kept = await mustInServer("c1s", "cat", `/var/lib/boxyard/hooks/${website.id}/output/${id}-update.log`);
    expect(kept).toMatch(/^\$ echo .*\npassword \*\*\* of db\d+$/);
  });

  test("stays when what comes after it fails, with a warning", async () => {
    const { exitCode, stderr } = await push("four", "version: 3\nhooks:\n  after: exit 1\n");
    expect(exitCode, stderr).toBe(0);
    const { id } = await lastDeployment(website.id);
    const watched = await boxyard("deployment", "watch", String(id));
    expect(watched.exitCode).toBe(0);
    expect(`${watched.stdout}${watched.stderr}`).toContain("warning: c1s: hooks.after ended with exit status 1");
    await expectVisitorsSee("four");
  });

  test("goes back when its update takes longer than the Boxfile says", async () => {
    const { exitCode, stderr } = await push("late", "version: 3\nhooks: {update: sleep 60, seconds: 2}\n");
    expect(exitCode).not.toBe(0);
    expect(stderr).toContain("hooks.update took too long and was ended");
    await expectVisitorsSee("four");
  });

  test("updates once although control is killed meanwhile", async () => {
    const before = (await noted()).split("\n").length;
    const pushing = push("five", `version: 3\nhooks:\n  update:\n    - '${note}'\n    - sleep 4\n`);
    await sleep(3_000);
    await mustInServer("control1", "systemctl", "kill", "--signal=KILL", "boxyard-control");
    const { exitCode, stderr } = await pushing;
    expect(exitCode, stderr).toBe(0);
    expect((await noted()).split("\n").length).toBe(before + 1);
    await expectVisitorsSee("five");
  });

  test("is gone back to without another update, and forth again", async () => {
    const before = await noted();
    for (const version of ["four", "five"]) {
      const { exitCode, stderr } = await boxyard("rollback", website.id);
      expect(exitCode, stderr).toBe(0);
      await expectVisitorsSee(version);
    }
    expect(await noted()).toBe(before);
  });

  test("that goes back ends all that its update has begun before the databases are put back", async () => {
    const boxfile =
      "version: 3\ndeploy: hold\nhooks:\n  snapshot: database\n  update: echo early >> private/noted; setsid sh -c 'sleep 12; echo late >> private/noted' > /dev/null 2>&1 &\n";
    await repository.write({ Boxfile: boxfile, "docroot/index.php": "<?php http_response_code(500);" });
    await repository.commit("Broken");
    const { exitCode, stderr } = await repository.push(website.gitUrl);
    expect(exitCode).not.toBe(0);
    expect(stderr).toMatch(/hooks\.update is done/);
    expect(stderr).toMatch(/put db\d+ back as before the update/);
    await sleep(14_000);
    expect(await noted(), "what it did before").toContain("early");
    expect(await noted()).not.toContain("late");
    await expectVisitorsSee("five");
  });

  test("that is not understood is refused at push", async () => {
    const { exitCode, stderr } = await push("six", "version: 3\nhooks:\n  before: make\n");
    expect(exitCode).not.toBe(0);
    expect(stderr).toContain("Boxfile:3:3: unknown hook “before” → the hooks are update and after");
  });
});

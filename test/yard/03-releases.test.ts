import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createSite, removeSite, type Site } from "#harness/site.ts";
import { Visitor } from "#harness/visitor.ts";
import { boxyard, lastDeployment, listDeployments, showWebsite } from "#harness/yard.ts";

describe("a release", () => {
  const DOMAIN = "whole.example.test";
  const CONNECT = `$db = new PDO(sprintf('mysql:host=%s;port=%s;dbname=%s', $_SERVER['DB_HOST'], $_SERVER['DB_PORT'], $_SERVER['DB_NAME']), $_SERVER['DB_USER'], $_SERVER['DB_PASSWORD'], [PDO::MYSQL_ATTR_SSL_CA => $_SERVER['DB_SSL_CA']]);`;
  let site: Site;

  beforeAll(async () => {
    site = await createSite(DOMAIN);
  });
  afterAll(() => removeSite(site));

  /** Updates the database while visitors wait, has a shared folder, and may be built. */
  async function push(version: string, update: string, build = "") {
    const mariadb = 'mariadb -h "$DB_HOST" -P "$DB_PORT" -u "$DB_USER" -p"$DB_PASSWORD" --ssl-ca="$DB_SSL_CA" "$DB_NAME" -e';
    await site.repository.write({
      Boxfile: `version: 3\nshared_folders: [docroot/files]\n${build}deploy: hold\nhooks:\n  snapshot: database\n  update: '${mariadb} "${update}"'\n`,
      "docroot/index.php": `<?php header('Cache-Control: no-store'); ${CONNECT} echo php_uname('n'), ' ${version} ', trim(file_get_contents('built.txt')), ' ', $db->query('SELECT said FROM state')->fetchColumn();`,
      "docroot/built.txt": "as-pushed",
      "docroot/keep.php": "<?php header('Cache-Control: no-store'); file_put_contents('files/kept', $_GET['text']); echo php_uname('n');",
      "docroot/kept.php": "<?php header('Cache-Control: no-store'); echo php_uname('n'), ' ', file_get_contents('files/kept');",
      "docroot/stored.php": `<?php header('Cache-Control: public, max-age=3600'); echo '${version}';`,
    });
    await site.repository.commit(version);
    return site.repository.push(site.website.gitUrl);
  }

  /** What each box says; visitors come to both. */
  async function fromEachBox(path: string): Promise<Record<string, string>> {
    const said: Record<string, string> = {};
    for (let nth = 0; nth < 40 && Object.keys(said).length < 2; nth++) {
      const { status, text } = await new Visitor(DOMAIN).get(`${path}?${nth}`);
      expect([status, text]).toEqual([200, text]);
      const [box = "", ...rest] = text.split(" ");
      said[box] = rest.join(" ");
    }
    return said;
  }

  async function stored(): Promise<unknown[]> {
    const { text, headers } = await new Visitor(DOMAIN).get("/stored.php");
    return [text, headers["x-cache"]];
  }

  test("is built, updates its database once, and is live on both boxes with what was built", async () => {
    const sql = "CREATE TABLE state (said INT); INSERT INTO state VALUES (1)";
    const { exitCode, stderr } = await push("one", sql, "build: [echo built > docroot/built.txt]\n");
    expect(exitCode, stderr).toBe(0);
    expect(await fromEachBox("/")).toEqual({ c1b1: "one built 1", c1b2: "one built 1" });
  });

  test("replaces what the caches have stored of the one before", async () => {
    await stored();
    expect(await stored()).toEqual(["one", "HIT"]);
    const { exitCode, stderr } = await push("two", "UPDATE state SET said = 2");
    expect(exitCode, stderr).toBe(0);
    expect(await stored()).toEqual(["two", "MISS"]);
  });

  test("whose update fails goes back everywhere, with its database, and the pusher reads why", async () => {
    const { exitCode, stderr } = await push("three", "UPDATE state SET said = 3; SELECT nothing FROM nowhere");
    expect(exitCode).not.toBe(0);
    expect(stderr).toContain("nowhere");
    expect((await lastDeployment(site.website.id)).state).toBe("rolled-back");
    expect(await fromEachBox("/")).toEqual({ c1b1: "two as-pushed 2", c1b2: "two as-pushed 2" });
  });

  test("with an error in its Boxfile is refused at push, with its line, and nothing changes", async () => {
    const before = await listDeployments(site.website.id);
    await site.repository.write({ Boxfile: "version: 3\nshared_folder: [docroot/files]\n" });
    await site.repository.commit("Bad Boxfile");
    const { exitCode, stderr } = await site.repository.push(site.website.gitUrl);
    await site.repository.git("reset", "-q", "--hard", "HEAD~1");
    expect(exitCode).not.toBe(0);
    expect(stderr).toMatch(/remote: .*Boxfile:2\b/);
    expect(await listDeployments(site.website.id)).toEqual(before);
  });

  test("shares its folders between the boxes and the shell server, where its owner logs in and sees this website alone", async () => {
    const { id, sshUrl } = await showWebsite(site.website.id);
    await new Visitor(DOMAIN).get("/keep.php?text=shared");
    expect(await fromEachBox("/kept.php")).toEqual({ c1b1: "shared", c1b2: "shared" });
    const shell = (command: string) => site.repository.ssh(sshUrl, command);
    expect((await shell("whoami; cat current/docroot/files/kept")).stdout).toBe(`${id}\nshared`);
    expect((await shell("ls /srv/sites/s1/ 2>/dev/null || echo refused")).stdout).toBe("refused");
  });

  test("is gone back to by one command", async () => {
    const { exitCode, stderr } = await boxyard("rollback", site.website.id);
    expect(exitCode, stderr).toBe(0);
    expect((await new Visitor(DOMAIN).get("/stored.php")).text).toBe("one");
  });
});

import { lstat, mkdir, readdir, readFile, readlink, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { timestamp } from "#base/clock.ts";
import { reportFault } from "#base/fault.ts";
import { run } from "#base/run.ts";
import { TestSite } from "./test-site.ts";
import type { WebsiteReleases } from "./website-releases.ts";

let site: TestSite;
let releases: WebsiteReleases;
const signal = new AbortController().signal;

beforeEach(async () => {
  site = await TestSite.create();
  releases = site.releases();
});
afterEach(() => site.remove());

/** Commits what the script does and stages it; gives the release's directory. */
async function stage(script: string): Promise<string> {
  const commit = await site.commit(script);
  await releases.stage("s1", commit, signal);
  return site.paths.release(commit);
}

/** Everything of a tree that must never change: names, kinds, modes, link targets and contents. */
async function fingerprint(directory: string): Promise<string> {
  const list = await run(["find", ".", "-printf", "%P %y %m %l\\n"], { cwd: directory });
  const sums = await run(["sh", "-c", "find . -type f -print0 | sort -z | xargs -0 sha256sum"], { cwd: directory });
  return `${list.stdout.split("\n").sort().join("\n")}\n${sums.stdout}`;
}

const BOXFILE = `printf 'version: 2.0\nshared_folders:\n  - docroot/files\nenv_specific_files:\n  docroot/.htaccess:\n    production: .htaccess.production\n    test: .htaccess.test\n' > Boxfile
mkdir -p docroot; echo prod > docroot/.htaccess.production; echo test > docroot/.htaccess.test`;

describe("a first release", () => {
  test("has the commit's files, with their modes and links, and Boxyard's own", async () => {
    const release = await stage(
      "mkdir -p docroot/a; echo hi > docroot/index.php; echo x > docroot/a/run; chmod 755 docroot/a/run; ln -s a/run docroot/link",
    );
    expect(await readFile(`${release}/docroot/index.php`, "utf8")).toBe("hi\n");
    expect((await stat(`${release}/docroot/a/run`)).mode & 0o777).toBe(0o755);
    expect((await stat(`${release}/docroot/index.php`)).mode & 0o777).toBe(0o644);
    expect(await readlink(`${release}/docroot/link`)).toBe("a/run");
    expect(await readlink(`${release}/config`)).toBe("../../config");
    expect(await readlink(`${release}/tmp`)).toBe("../../tmp");
    expect(await readlink(`${release}/private`)).toBe(`${site.paths.files}/private`);
    expect(await readFile(`${release}/.boxyard-release`, "utf8")).toMatch(/^[0-9a-f]{40}\ndocroot=docroot\n/);
  });

  test("names the folder that is served, and has docroot whatever that is called", async () => {
    const release = await stage("mkdir web; echo hi > web/index.php");
    expect(await readlink(`${release}/docroot`)).toBe("web");
    expect(await readFile(`${release}/.boxyard-release`, "utf8")).toContain("docroot=web\n");
  });

  test("keeps names with spaces, newlines, quotes and other alphabets", async () => {
    const release = await stage(
      `mkdir docroot; cd docroot; echo 1 > 'a b'; echo 2 > "$(printf 'new\\nline')"; echo 3 > 'čeština "ü".txt'; echo 4 > ./-rf`,
    );
    expect((await readdir(`${release}/docroot`)).sort()).toEqual(["-rf", "a b", "new\nline", 'čeština "ü".txt'].sort());
  });

  test("links environment-specific files by the website's label, relative to where they stand", async () => {
    const release = await stage(BOXFILE);
    expect(await readlink(`${release}/docroot/.htaccess`)).toBe(".htaccess.production");
    expect(await readFile(`${release}/docroot/.htaccess`, "utf8")).toBe("prod\n");
  });

  test("leaves links out that lead out of the repository, but for the system's certificates", async () => {
    const release = await stage(
      "mkdir docroot; ln -s /etc/passwd docroot/p; ln -s ../../../config docroot/c; ln -s /etc/ssl/certs/ca-certificates.crt docroot/ca; ln -s ../docroot docroot/self",
    );
    expect((await readdir(`${release}/docroot`)).sort()).toEqual(["ca", "self"]);
  });

  test("keeps a config directory of the repository and links the snippets into it", async () => {
    const release = await stage("mkdir -p config/sync web; echo a > config/sync/a.yml; touch web/index.php");
    expect((await lstat(`${release}/config`)).isDirectory()).toBe(true);
    expect(await readlink(`${release}/config/drupal`)).toBe("../../../config/drupal");
    expect(await readFile(`${release}/config/sync/a.yml`, "utf8")).toBe("a\n");
  });

  test("without a Boxfile and without a docroot is served from its root", async () => {
    const release = await stage("echo hi > index.php");
    expect(await readFile(`${release}/.boxyard-release`, "utf8")).toContain("docroot=\n");
    expect(await readlink(`${release}/docroot`)).toBe(".");
  });

  test("with a submodule has everything else", async () => {
    const release = await stage(
      "mkdir docroot; echo hi > docroot/index.php; git update-index --add --cacheinfo 160000,1234567890123456789012345678901234567890,docroot/sub",
    );
    expect(await readFile(`${release}/docroot/index.php`, "utf8")).toBe("hi\n");
    await expect(lstat(`${release}/docroot/sub`)).rejects.toThrow("ENOENT");
  });
});

describe("the copy of the live release", () => {
  const switchTo = (release: string) =>
    releases.switchTo({ website: "s1", release, decision: 1 }, { at: timestamp(), latestMs: 1_000 }, signal);

  test("becomes the next release, once; what is copied stays as it was, and no two copies are kept", async () => {
    const one = await site.commit("mkdir docroot; echo 1 > docroot/a.php; echo 2 > docroot/b.php");
    await releases.stage("s1", one, signal);
    expect(await releases.hasSpare("s1")).toBe(true);
    await switchTo(one);
    expect(await releases.hasSpare("s1")).toBe(false);
    await releases.makeSpare("s1", signal);
    await releases.makeSpare("s1", signal);
    expect(await releases.hasSpare("s1")).toBe(true);
    const before = await fingerprint(site.paths.release(one));
    const two = await stage("echo 3 > docroot/a.php; rm docroot/b.php; echo 4 > docroot/c.php");
    expect((await readdir(`${two}/docroot`)).sort()).toEqual(["a.php", "c.php"]);
    expect(await fingerprint(site.paths.release(one))).toBe(before);
    expect(await releases.hasSpare("s1")).toBe(false);
    expect((await readdir(site.paths.releases)).length).toBe(2);
    const three = await stage("echo 5 > docroot/d.php");
    expect(await fingerprint(`${three}/docroot`)).toBe(await fingerprint(`${site.work}/docroot`));
  });
});

describe("a commit that has to be built", () => {
  const BUILD = "printf 'version: 3\\nbuild: make\\n' > Boxfile; mkdir -p docroot; echo source > docroot/index.php";

  /** As a builder does it: a commit on top, which no branch has. */
  async function build(commit: string, script: string): Promise<void> {
    site.builds.set(commit, await site.commit(script));
    await site.git("reset", "-q", "--hard", commit);
  }

  test("is staged with what was built of it, and the next one after it, too", async () => {
    const first = await site.commit(BUILD);
    await build(first, "mkdir vendor; echo built > vendor/lib.php");
    await releases.stage("s1", first, signal);
    expect(await readFile(`${site.paths.release(first)}/vendor/lib.php`, "utf8")).toBe("built\n");
    const second = await site.commit("echo more > docroot/index.php");
    await build(second, "mkdir vendor; echo built again > vendor/lib.php");
    const { filesChanged } = await releases.stage("s1", second, signal);
    expect(filesChanged).toBe(2);
    expect(site.questions.at(-1)).toMatchObject({ commit: second, have: site.builds.get(first) });
    expect(await readFile(`${site.paths.release(second)}/vendor/lib.php`, "utf8")).toBe("built again\n");
    expect(await readFile(`${site.paths.release(second)}/docroot/index.php`, "utf8")).toBe("more\n");
  });

  test("is no release before it is", async () => {
    const commit = await site.commit(BUILD);
    const staging = releases.stage("s1", commit, signal);
    await expect(staging.catch((thrown) => reportFault(thrown).message)).resolves.toContain(`commit ${commit} has to be built first`);
  });
});

describe("a repository that is damaged", () => {
  test.each([
    ["has lost its objects", (directory: string) => `find ${directory}/objects -type f -delete`],
    [
      "has rotten objects",
      (directory: string) => `find ${directory}/objects -name '*.pack' -exec sh -c 'chmod u+w "$1"; : > "$1"' _ {} ';'`,
    ],
    ["is no repository any more", (directory: string) => `rm ${directory}/config ${directory}/HEAD; rm -r ${directory}/objects`],
  ])("(it %s) is fetched anew, and the release made", async (_, damage) => {
    const first = await stage("mkdir docroot; seq 3000 > docroot/index.php; seq 2000 > docroot/other.php");
    await run(["sh", "-c", damage(site.paths.repository)]);
    const second = await stage("seq 3001 > docroot/index.php");
    expect(await readFile(`${second}/docroot/index.php`, "utf8")).toMatch(/3001\n$/);
    expect(await readFile(`${first}/docroot/other.php`, "utf8")).toBe(await readFile(`${second}/docroot/other.php`, "utf8"));
  });
});

describe("a shared folder", () => {
  test("gets what the first commit has there, once; later commits never touch it", async () => {
    const first = await stage(
      `${BOXFILE}\nmkdir -p docroot/files/sub; echo one > docroot/files/a.txt; echo deep > docroot/files/sub/b.txt`,
    );
    expect(await readlink(`${first}/docroot/files`)).toBe(`${site.paths.files}/docroot/files`);
    expect(await readFile(`${first}/docroot/files/a.txt`, "utf8")).toBe("one\n");
    await writeFile(`${site.paths.files}/docroot/files/a.txt`, "by a visitor");
    const second = await stage("echo two > docroot/files/a.txt; rm -r docroot/files/sub; echo c > docroot/files/c.txt; echo x > docroot/x");
    expect(await readFile(`${second}/docroot/files/a.txt`, "utf8")).toBe("by a visitor");
    expect(await readFile(`${second}/docroot/files/sub/b.txt`, "utf8")).toBe("deep\n");
    await expect(lstat(`${second}/docroot/files/c.txt`)).rejects.toThrow("ENOENT");
    expect((await readdir(site.paths.files)).filter((name) => name.startsWith(".seed"))).toEqual([]);
  });

  test("is not made through a link that the application has put in its way", async () => {
    await mkdir(`${site.scratch}/elsewhere`);
    await symlink(`${site.scratch}/elsewhere`, `${site.paths.files}/docroot`);
    const commit = await site.commit(BOXFILE);
    await expect(releases.stage("s1", commit, signal)).rejects.toMatchObject({ code: "release.stage-failed" });
    expect(await readdir(`${site.scratch}/elsewhere`)).toEqual([]);
    expect(await readdir(site.paths.releases)).toEqual([]);
  });
});

describe("a shared folder of a website that works against the agent", () => {
  const UID = 20_001;
  const asTenant = (...command: string[]) => run(["setpriv", `--reuid=${UID}`, `--regid=${UID}`, "--clear-groups", "--", ...command]);
  const share = (folder: string): string =>
    `printf 'version: 2.0\nshared_folders: [${folder}]\n' > Boxfile; mkdir -p ${folder}; echo seeded > ${folder}/a.txt`;

  beforeEach(async () => {
    site.website = { ...site.website, uid: UID };
    await run(["chmod", "755", site.scratch]);
  });

  test("cannot be entered before it is the website's", async () => {
    const commit = await site.commit(`${share("docroot/files")}; for n in $(seq 500); do echo x > docroot/files/f$n; done`);
    const script = `my %seen; chdir $ARGV[0]; while (! -e "docroot/files") {
      for my $seed (glob ".seed-*") { opendir(my $d, $seed) ? $seen{entered}++ : $!{EACCES} && $seen{refused}++ } }
      print join " ", sort keys %seen;`;
    const tenant = asTenant("perl", "-e", script, site.paths.files);
    await releases.stage("s1", commit, signal);
    expect((await tenant).stdout, "the seed was seen while it was filled").toBe("refused");
    const made = await stat(`${site.paths.files}/docroot/files`);
    expect([made.uid, made.mode & 0o777]).toEqual([UID, 0o755]);
    expect((await stat(`${site.paths.files}/docroot/files/f500`)).uid).toBe(UID);
    expect((await stat(`${site.paths.files}/docroot`)).uid).toBe(0);
  });

  test("is made within one of an earlier release, and so are the folders above it, as the website's own", async () => {
    await stage(share("docroot"));
    const release = await stage(`rm -r docroot; mkdir web; ${share("docroot/deep/inner")}`);
    expect(await readFile(`${release}/docroot/deep/inner/a.txt`, "utf8")).toBe("seeded\n");
    for (const folder of ["docroot/deep", "docroot/deep/inner", "docroot/deep/inner/a.txt"])
      expect((await stat(`${site.paths.files}/${folder}`)).uid, folder).toBe(UID);
  });

  test.each([
    ["a link above it", 'ln -s "$2" "$1/docroot/deep"'],
    ["a link in its place", 'mkdir "$1/docroot/deep"; ln -s "$2" "$1/docroot/deep/inner"'],
    ["a file in its place", 'mkdir "$1/docroot/deep"; echo mine > "$1/docroot/deep/inner"'],
  ])("is not made through %s: a push says so, and a server that has to have the release goes without", async (_, script) => {
    await mkdir(`${site.scratch}/elsewhere`);
    await stage(share("docroot"));
    await asTenant("sh", "-ec", script, "sh", site.paths.files, `${site.scratch}/elsewhere`);
    const commit = await site.commit(`rm -r docroot; mkdir web; ${share("docroot/deep/inner")}`);
    const fault = await releases.stage("s1", commit, signal).catch((thrown: unknown) => thrown);
    expect(reportFault(fault)).toMatchObject({
      code: "release.stage-failed",
      message: expect.stringContaining("something else stands there"),
      next: expect.stringContaining("move it away"),
    });
    site.website = { ...site.website, release: commit };
    await releases.converge(site.website, signal);
    expect(releases.live("s1")).toBe(commit);
    expect(await readdir(`${site.scratch}/elsewhere`)).toEqual([]);
  });
});

describe("the next release", () => {
  test("shares what is unchanged with the one before it, asks only for the difference, and leaves that one as it was", async () => {
    const first = await stage(
      `${BOXFILE}\necho same > docroot/same; echo old > docroot/changed; echo bye > docroot/removed; echo run > docroot/run`,
    );
    const before = await fingerprint(first);
    const second = await stage(
      "echo new > docroot/changed; rm docroot/removed; chmod 755 docroot/run; mkdir -p docroot/deep/er; echo n > docroot/deep/er/n",
    );
    expect(await fingerprint(first)).toBe(before);
    expect((await stat(`${second}/docroot/same`)).ino).toBe((await stat(`${first}/docroot/same`)).ino);
    expect(await readFile(`${second}/docroot/changed`, "utf8")).toBe("new\n");
    expect((await stat(`${second}/docroot/run`)).mode & 0o111).toBe(0o111);
    await expect(lstat(`${second}/docroot/removed`)).rejects.toThrow("ENOENT");
    expect(site.questions.map((question) => question.have)).toEqual([null, first.slice(-40)]);
    const { filesChanged } = await releases.stage("s1", second.slice(-40), signal);
    expect(filesChanged).toBe(4);
  });

  test.each([
    ["a file becomes a folder", "echo f > docroot/x", "rm docroot/x; mkdir docroot/x; echo in > docroot/x/y"],
    ["a folder becomes a file", "mkdir docroot/x; echo in > docroot/x/y", "rm -r docroot/x; echo f > docroot/x"],
    [
      "a folder becomes a link",
      "mkdir docroot/x docroot/y; echo in > docroot/x/a; echo in > docroot/y/a",
      "rm -r docroot/x; ln -s y docroot/x",
    ],
    [
      "a link becomes a folder",
      "mkdir docroot/y; echo in > docroot/y/a; ln -s y docroot/x",
      "rm docroot/x; mkdir docroot/x; echo other > docroot/x/a",
    ],
    ["a link becomes a file", "echo t > docroot/t; ln -s t docroot/x", "rm docroot/x; echo f > docroot/x"],
    ["a link leads elsewhere", "echo t > docroot/t; ln -s t docroot/x", "ln -sfn ../docroot docroot/x"],
    ["a link that led out leads in", "ln -s /etc/passwd docroot/x; echo t > docroot/t", "ln -sfn t docroot/x"],
    ["the last file of a folder goes", "mkdir -p docroot/a/b/c; echo x > docroot/a/b/c/d", "rm -r docroot/a"],
    [
      "all names are odd",
      "echo 1 > 'docroot/a b'; echo 2 > \"docroot/$(printf 'n\\nl')\"",
      "rm docroot/*; echo 3 > 'docroot/a b'; echo 4 > 'docroot/ž'",
    ],
  ])("is the same as a fresh one when %s, and the older one stays as it was", async (_, before, after) => {
    const first = await stage(`mkdir docroot; touch docroot/index.php; ${before}`);
    const untouched = await fingerprint(first);
    const second = await stage(after);
    expect(await fingerprint(first)).toBe(untouched);
    const asDelta = await fingerprint(second);
    await run(["rm", "-r", site.paths.releases]);
    await mkdir(site.paths.releases);
    await releases.stage("s1", second.slice(-40), signal);
    const withoutMoment = (text: string): string => text.replace(/^.*\.boxyard-release$/gm, "");
    expect(withoutMoment(await fingerprint(second))).toBe(withoutMoment(asDelta));
  });

  test("takes a changed Boxfile into account", async () => {
    await stage(`${BOXFILE}\nmkdir -p docroot/files docroot/more; echo a > docroot/files/a; echo m > docroot/more/m`);
    const second = await stage("printf 'version: 2.0\nshared_folders: [docroot/more]\n' > Boxfile");
    expect((await lstat(`${second}/docroot/files`)).isDirectory()).toBe(true);
    expect(await readlink(`${second}/docroot/more`)).toBe(`${site.paths.files}/docroot/more`);
    await expect(lstat(`${second}/docroot/.htaccess`)).rejects.toThrow("ENOENT");
  });

  test("is made anew for the website's new label, although the commit is staged already", async () => {
    const release = await stage(BOXFILE);
    site.website = { ...site.website, environment: "test" };
    await releases.stage("s1", release.slice(-40), signal);
    expect(await readlink(`${release}/docroot/.htaccess`)).toBe(".htaccess.test");
  });
});

describe("a release that cannot be staged", () => {
  test("for want of space says how much is needed, and leaves nothing behind", async () => {
    await run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", site.paths.releases]);
    try {
      const commit = await site.commit("head -c 2000000 /dev/zero > large");
      const fault = await releases.stage("s1", commit, signal).catch((thrown: unknown) => thrown);
      expect(reportFault(fault)).toMatchObject({
        code: "release.no-space",
        message: expect.stringMatching(/needs [\d.]+ MB and [\d.]+ MB are free/),
      });
      expect(await readdir(site.paths.releases)).toEqual([]);
    } finally {
      await run(["umount", site.paths.releases]);
    }
  });

  test("because its Boxfile is wrong says so in the Boxfile's words", async () => {
    const commit = await site.commit("printf 'version: 2.0\nshared_folder: [a]\n' > Boxfile");
    const fault = await releases.stage("s1", commit, signal).catch((thrown: unknown) => thrown);
    expect(reportFault(fault).message).toContain("Boxfile:2:1");
    expect(await readdir(site.paths.releases)).toEqual([]);
  });

  test("because its tree was forged does no harm", async () => {
    const blob = (await run(["git", "hash-object", "-w", "--stdin"], { cwd: site.work, input: "/tmp" })).stdout.trim();
    const raw = Buffer.concat([Buffer.from("100644 ..\0"), Buffer.from(blob, "hex")]);
    const tree = (
      await run(["git", "hash-object", "-t", "tree", "-w", "--stdin", "--literally"], { cwd: site.work, input: raw })
    ).stdout.trim();
    await site.commit("true");
    const commit = (await site.git("commit-tree", "-m", "forged", tree)).trim();
    await expect(releases.stage("s1", commit, signal)).rejects.toMatchObject({ code: "release.stage-failed" });
    expect(await readdir(site.paths.releases)).toEqual([]);
  });

  test("because a website is not carried here is refused", async () => {
    await expect(releases.stage("s2", "0".repeat(40), signal)).rejects.toMatchObject({ code: "release.unknown-website" });
  });
});

test("staging the same release twice at once makes it once, and both hear the same", async () => {
  const commit = await site.commit("mkdir docroot; echo hi > docroot/index.php");
  const [one, two] = await Promise.all([releases.stage("s1", commit, signal), releases.stage("s1", commit, signal)]);
  expect(one).toEqual(two);
  expect(site.questions).toHaveLength(1);
});

test("what an interrupted stage has left goes away with the next", async () => {
  await mkdir(join(site.paths.releases, `${"a".repeat(40)}.tmp-123`));
  const release = await stage("mkdir docroot; echo hi > docroot/index.php");
  expect(await readdir(site.paths.releases)).toEqual([release.slice(-40)]);
});

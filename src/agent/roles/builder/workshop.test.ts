import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { run } from "#base/run.ts";
import { asAccount } from "../../converge/as-account.ts";
import { GIT_ENVIRONMENT, git, startGit } from "../../website/releases/git.ts";
import { BUILDER, Workshop } from "./workshop.ts";

/** More than fits into an argument, and does not compress, so that the size of a pack tells what is in it. */
const LARGE = Array.from({ length: 8_000 }, () => `${Math.random()}\n`).join("");
const BOXFILE = "version: 3\nbuild:\n  commands: [composer install, npm run build]\n  seconds: 1200\n";
const FILES = {
  Boxfile: BOXFILE,
  ".gitignore": "/vendor/\n",
  "docroot/index.php": "<?php echo 1;",
  "docroot/Boxfile": "version: 2.0\n",
  "old.txt": "old",
  "large.txt": LARGE,
};
const COMMITTED = "2026-03-04T05:06:07+01:00";
const IDENTITY = {
  GIT_AUTHOR_NAME: "Site Owner",
  GIT_AUTHOR_EMAIL: "owner@example.org",
  GIT_AUTHOR_DATE: "2026-01-02T03:04:05+00:00",
  GIT_COMMITTER_NAME: "Site Owner",
  GIT_COMMITTER_EMAIL: "owner@example.org",
  GIT_COMMITTER_DATE: COMMITTED,
};

let scratch: string;
/** A site owner's repository. */
let site: string;
let source: string;
let workshop: Workshop;
let work: string;

const inGit = async (directory: string, ...args: string[]): Promise<string> =>
  (await run(["git", "-C", directory, ...args], { environment: { ...GIT_ENVIRONMENT, ...IDENTITY } })).stdout;
const asBuilder = (...command: [string, ...string[]]) => run(asAccount(BUILDER.uid, command), { cwd: workshop.tree });
const modeOf = async (path: string): Promise<string> => {
  const { mode, uid, gid } = await stat(path);
  return `${(mode & 0o7777).toString(8)} ${uid}:${gid}`;
};

/** A commit of these files alone, in the site owner's repository. */
async function commitOf(files: Readonly<Record<string, string>>): Promise<string> {
  await inGit(site, "rm", "-rqf", "--ignore-unmatch", ".");
  for (const [path, content] of Object.entries(files)) {
    await mkdir(join(site, path, ".."), { recursive: true });
    await writeFile(join(site, path), content);
  }
  await inGit(site, "add", "--all", "--force");
  await inGit(site, "commit", "--quiet", "--allow-empty", "-m", "Change");
  return (await inGit(site, "rev-parse", "HEAD")).trim();
}

/** A cleared workshop that has this commit. */
async function receive(commit: string): Promise<void> {
  await workshop.clear();
  await inGit(workshop.repository, "fetch", "--quiet", site, commit);
}

/** The workshop with this commit checked out. */
async function begin(commit: string): Promise<void> {
  await receive(commit);
  await workshop.checkOut(commit);
}

/** What git reads of a commit that was made in the workshop. */
async function read(...args: string[]): Promise<string> {
  const environment = { ...GIT_ENVIRONMENT, GIT_ALTERNATE_OBJECT_DIRECTORIES: join(work, "own/objects") };
  return (await run(["git", `--git-dir=${workshop.repository}`, ...args], { environment })).stdout;
}

beforeAll(async () => {
  // In memory: a disk that others write to may take half a minute for what git has it keep.
  scratch = await mkdtemp("/dev/shm/boxyard-workshop-");
  await chmod(scratch, 0o755);
  site = join(scratch, "site");
  await inGit(scratch, "init", "--quiet", site);
  source = await commitOf(FILES);
});
afterAll(() => rm(scratch, { recursive: true, force: true }));
beforeEach(() => {
  work = join(scratch, "srv/work");
  workshop = new Workshop(work);
});

describe("a cleared workshop", () => {
  test("has a bare repository of root's, a place of the builder's, and nothing of an earlier attempt", async () => {
    await begin(source);
    await workshop.writeScript("exit 1");
    await workshop.clear();
    expect((await readdir(work)).sort()).toEqual(["own", "repository.git"]);
    expect((await readdir(join(work, "own"))).sort()).toEqual(["objects", "tree"]);
    for (const path of ["own/objects", "own/tree"]) expect(await readdir(join(work, path))).toEqual([]);
    expect(await inGit(workshop.repository, "rev-parse", "--is-bare-repository")).toBe("true\n");
    expect(await inGit(workshop.repository, "count-objects")).toBe("0 objects, 0 kilobytes\n");
    for (const path of [work, workshop.repository]) expect(await modeOf(path)).toBe("755 0:0");
    for (const path of ["own", "own/objects", "own/tree"]) expect(await modeOf(join(work, path))).toBe("755 19999:19999");
  });

  test("takes a script that the builder reads and cannot change", async () => {
    await workshop.clear();
    const path = await workshop.writeScript("echo built");
    expect(await modeOf(path)).toBe("644 0:0");
    expect((await asBuilder("cat", path)).stdout).toBe("echo built");
    await expect(asBuilder("tee", path)).rejects.toThrow(/denied/);
    await expect(asBuilder("rm", path)).rejects.toThrow(/denied/);
  });
});

describe("the plan of a build", () => {
  test("has the commands of the commit's own Boxfile, and how long they may take", async () => {
    await receive(source);
    expect(await workshop.plan(source, "production")).toEqual({ commands: ["composer install", "npm run build"], seconds: 1_200 });
  });

  test.each([
    ["there is no Boxfile at the top", { "docroot/Boxfile": BOXFILE, "docroot/index.php": "" }],
    ["the Boxfile says nothing of it", { Boxfile: "version: 2.0\n" }],
    ["the Boxfile cannot be used", { Boxfile: `${BOXFILE}nonsense: 1\n` }],
  ])("has nothing to do when %s", async (_when, files) => {
    const commit = await commitOf(files);
    await receive(commit);
    expect(await workshop.plan(commit, "production")).toEqual({ commands: [], seconds: null });
  });

  test("is read for the website's environment", async () => {
    const specific = "env_specific_files:\n  settings.php:\n    staging: settings.staging.php\n";
    const commit = await commitOf({ Boxfile: `${BOXFILE}${specific}`, "settings.staging.php": "" });
    await receive(commit);
    expect(await workshop.plan(commit, "staging")).toMatchObject({ seconds: 1_200 });
    expect(await workshop.plan(commit, "production")).toMatchObject({ seconds: null });
  });
});

describe("a checked out commit", () => {
  test("is the builder's, has its files as they are, and takes the place of what stood there", async () => {
    await begin(source);
    const index = join(workshop.tree, "docroot/index.php");
    expect(await readFile(index, "utf8")).toBe("<?php echo 1;");
    expect(await modeOf(index)).toBe("644 19999:19999");
    expect(await modeOf(join(work, "own/index"))).toBe("644 19999:19999");
    const names = (await readdir(workshop.tree)).sort();
    expect(names).toEqual([".gitignore", "Boxfile", "docroot", "large.txt", "old.txt"]);
    await asBuilder("sh", "-c", "echo changed > docroot/index.php");
    await workshop.checkOut(source);
    expect(await readFile(index, "utf8")).toBe("<?php echo 1;");
  });

  test("has run nothing that lies in the repository", async () => {
    await workshop.clear();
    await writeFile(join(workshop.repository, "hooks/post-index-change"), "#!/bin/sh\necho > ran\n", { mode: 0o755 });
    await inGit(workshop.repository, "fetch", "--quiet", site, source);
    await workshop.checkOut(source);
    expect(await readdir(workshop.tree)).not.toContain("ran");
  });
});

describe("a build's commit", () => {
  test("has all that the tree has, what is ignored too, and nothing of what is gone", async () => {
    await begin(source);
    await asBuilder("sh", "-c", "rm old.txt; mkdir vendor; echo made > vendor/made.txt; echo more >> large.txt; chmod +x Boxfile");
    const build = await workshop.commit(source);
    expect(build).toMatch(/^[0-9a-f]{40}$/);
    expect((await read("ls-tree", "-r", "--name-only", build)).trim().split("\n")).toEqual([
      ".gitignore",
      "Boxfile",
      "docroot/Boxfile",
      "docroot/index.php",
      "large.txt",
      "vendor/made.txt",
    ]);
    expect(await read("show", `${build}:large.txt`)).toBe(`${LARGE}more\n`);
    expect(await read("ls-tree", build, "Boxfile")).toMatch(/^100755 /);
  });

  test("follows the commit that it was built from, and is Boxyard's, of the moment in which that was committed", async () => {
    await begin(source);
    const build = await workshop.commit(source);
    const [parents, author, authored, committer, committed, message] = (
      await read("show", "-s", "--format=%P%n%an <%ae>%n%aI%n%cn <%ce>%n%cI%n%B", build)
    ).split("\n");
    const boxyard = "Boxyard <boxyard@localhost>";
    expect({ parents, author, authored, committer, committed, message }).toEqual({
      parents: source,
      author: boxyard,
      authored: COMMITTED,
      committer: boxyard,
      committed: COMMITTED,
      message: `Built from ${source}`,
    });
  });

  test("is the same for the same tree, also in another attempt, and another one for another", async () => {
    const make = async (content: string): Promise<string> => {
      await asBuilder("sh", "-c", `echo ${content} > made.txt`);
      return workshop.commit(source);
    };
    await begin(source);
    const build = await make("one");
    expect(await make("two")).not.toBe(build);
    await begin(source);
    expect(await make("one")).toBe(build);
  });

  test("has repositories within the tree as plain folders", async () => {
    await begin(source);
    await asBuilder(
      "sh",
      "-c",
      "git init -q lib && echo 1 > lib/code.php && mkdir -p a/b && echo gitdir: x > a/b/.git && echo 2 > a/b/c.php",
    );
    const build = await workshop.commit(source);
    const paths = (await read("ls-tree", "-r", "--name-only", build, "lib", "a")).trim().split("\n");
    expect(paths).toEqual(["a/b/c.php", "lib/code.php"]);
  });

  test("has the bytes that the tree has, whatever its .gitattributes say of them", async () => {
    const commit = await commitOf({ "a.txt": "a\n" });
    await begin(commit);
    const attributes = "*.bin text\n*.id ident\n*.wide working-tree-encoding=UTF-16\n*.crlf text eol=crlf\n";
    const odd = {
      ".gitattributes": attributes,
      "a.bin": "a\r\nb\r\n\0",
      "a.id": "$Id: 1234 $\n",
      "a.wide": "no mark\n",
      "a.crlf": "a\r\n",
    };
    for (const [path, content] of Object.entries(odd)) await writeFile(join(workshop.tree, path), content);
    const build = await workshop.commit(commit);
    for (const [path, content] of Object.entries(odd)) expect(await read("cat-file", "blob", `${build}:${path}`), path).toBe(content);
  });

  test("is checked out with the bytes that it has, too", async () => {
    await begin(await commitOf({ ".gitattributes": "*.txt text eol=crlf\n*.id ident\n", "a.txt": "a\nb\n", "a.id": "$Id$\n" }));
    expect(await readFile(join(workshop.tree, "a.txt"), "utf8")).toBe("a\nb\n");
    expect(await readFile(join(workshop.tree, "a.id"), "utf8")).toBe("$Id$\n");
  });

  test("is made with the builder's rights alone, and writes nothing into root's repository", async () => {
    await begin(source);
    const objects = await readdir(join(workshop.repository, "objects"), { recursive: true });
    await asBuilder("sh", "-c", "echo made > made.txt");
    await workshop.commit(source);
    expect(await readdir(join(workshop.repository, "objects"), { recursive: true })).toEqual(objects);
    const written = await readdir(join(work, "own/objects"));
    for (const name of written) expect(await modeOf(join(work, "own/objects", name))).toMatch(/ 19999:19999$/);
    // Root could clear this away.
    await mkdir(join(workshop.tree, "foreign/.git/refs"), { recursive: true });
    await expect(workshop.commit(source)).rejects.toThrow(/foreign\/\.git.*denied/);
    await rm(join(workshop.tree, "foreign"), { recursive: true });
    await writeFile(join(workshop.tree, "secret"), "", { mode: 0o600 });
    await expect(workshop.commit(source)).rejects.toThrow(/secret.*denied/);
  });
});

describe("a build's pack", () => {
  test("has what the commit lacks, as a difference where that is less, and makes the build whole where the commit is", async () => {
    await begin(source);
    await asBuilder("sh", "-c", "echo more >> large.txt; mkdir vendor; echo made > vendor/made.txt");
    const build = await workshop.commit(source);
    const signal = AbortSignal.timeout(20_000);
    const packing = workshop.startPack(build, source, signal);
    const indexing = startGit(git.indexPack(join(site, ".git")), signal);
    indexing.stdout.resume();
    let bytes = 0;
    packing.stdout.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
    });
    await pipeline(packing.stdout, indexing.stdin);
    await Promise.all([packing.ended, indexing.ended]);
    // The commit, its tree, vendor, large.txt and vendor/made.txt; the large file alone would be much more.
    expect(bytes).toBeLessThan(2_000);
    expect(await inGit(site, "show", `${build}:large.txt`)).toBe(`${LARGE}more\n`);
    expect(await inGit(site, "fsck", "--no-dangling", build)).toBe("");
    const missing = (await inGit(site, "rev-list", "--objects", build, `^${source}`)).trim().split("\n");
    expect(missing).toHaveLength(5);
  });

  test("of what is no build fails, and one that nobody waits for any more is ended", async () => {
    await begin(source);
    await expect(workshop.startPack("b".repeat(40), source, AbortSignal.timeout(20_000)).ended).rejects.toMatchObject({
      code: "git.failed",
    });
    const abandoned = new AbortController();
    const packing = workshop.startPack(source, source, abandoned.signal);
    abandoned.abort();
    await expect(packing.ended).rejects.toMatchObject({ name: "AbortError" });
  });
});

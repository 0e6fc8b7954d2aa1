import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, expect, test } from "vitest";
import { run } from "#base/run.ts";
import { CommitTree } from "./commit-tree.ts";
import { ObjectReader } from "./object-reader.ts";
import { TestSite } from "./test-site.ts";

let site: TestSite;
let objects: ObjectReader;

beforeEach(async () => {
  site = await TestSite.create();
  objects = new ObjectReader(join(site.work, ".git"), AbortSignal.timeout(60_000));
});
afterEach(async () => {
  await objects.close();
  await site.remove();
});

interface Written {
  readonly mode: string;
  readonly content: string;
}

/** Commits exactly these paths, as Git itself would write them. */
async function commitOf(files: Readonly<Record<string, Written>>): Promise<string> {
  await site.git("read-tree", "--empty");
  for (const [path, { mode, content }] of Object.entries(files)) {
    const object = mode === "160000" ? "1".repeat(40) : await blobOf(content);
    await site.git("update-index", "--add", "--cacheinfo", `${mode},${object},${path}`);
  }
  return (await site.git("commit-tree", "-m", "x", (await site.git("write-tree")).trim())).trim();
}

async function blobOf(content: string): Promise<string> {
  return (await run(["git", "hash-object", "-w", "--stdin"], { cwd: site.work, input: content })).stdout.trim();
}

/** A tree of bytes that Git would not write. */
async function treeOfBytes(raw: Buffer): Promise<string> {
  const argv = ["git", "hash-object", "-t", "tree", "-w", "--stdin", "--literally"] as const;
  return (await run(argv, { cwd: site.work, input: raw })).stdout.trim();
}

/** The same question to Git: "D path" and "A mode path", in no order. */
async function asGitSees(before: string, after: string): Promise<string[]> {
  const fields = (await site.git("diff-tree", "-r", "-z", "--no-renames", before, after)).split("\0");
  const seen: string[] = [];
  for (let at = 0; at + 1 < fields.length; at += 2) {
    const [, mode, , , status] = (fields[at] ?? "").split(" ");
    if (status !== "A") seen.push(`D ${fields[at + 1]}`);
    if (status !== "D") seen.push(`A ${mode} ${fields[at + 1]}`);
  }
  return seen.sort();
}

async function asTold(before: string, after: string): Promise<string[]> {
  const { removals, additions, submodules } = await new CommitTree(objects, after).changesSince(new CommitTree(objects, before));
  const removed = removals.map((path) => `D ${path}`);
  const added = additions.map(({ mode, path }) => `A ${mode} ${path}`);
  return [...removed, ...added, ...submodules.map((path) => `A 160000 ${path}`)].sort();
}

test("what has changed between two commits is what Git says", async () => {
  const mode = fc.constantFrom("100644", "100755", "120000", "160000");
  const path = fc.array(fc.constantFrom("a", "b", "a.b", "ž"), { minLength: 1, maxLength: 3 }).map((steps) => steps.join("/"));
  const files = fc
    .dictionary(path, fc.record({ mode, content: fc.constantFrom("1", "2") }), { maxKeys: 6, noNullPrototype: true })
    // What is a file cannot be a folder, too.
    .filter((all) => Object.keys(all).every((one) => !Object.keys(all).some((other) => other.startsWith(`${one}/`))));
  await fc.assert(
    fc.asyncProperty(files, files, async (before, after) => {
      const [one, two] = [await commitOf(before), await commitOf(after)];
      expect(await asTold(one, two)).toEqual(await asGitSees(one, two));
    }),
    { numRuns: 25 },
  );
}, 60_000);

test("a question is asked again until all is there that it wants to know", async () => {
  const commit = await commitOf({ "a/b/c": { mode: "100644", content: "1" }, link: { mode: "120000", content: "a" } });
  let rounds = 0;
  const answer = await new CommitTree(objects, commit).consult(({ kindOf }) => {
    rounds += 1;
    return kindOf("a/b") === "folder" ? [kindOf("a/b/c"), kindOf("link"), kindOf(""), kindOf("a/b/c/d"), kindOf("x/y")] : [];
  });
  expect(answer).toEqual(["file", "link", "folder", null, null]);
  expect(rounds).toBe(3);
});

test("a folder that Git could not have written is refused", async () => {
  const blob = Buffer.from(await blobOf("1"), "hex");
  const whole = Buffer.concat([Buffer.from("100644 a\0"), blob]);
  for (const raw of [whole.subarray(0, -1), Buffer.concat([whole, Buffer.from("100644 b")]), Buffer.from("100644\0a b".repeat(9))]) {
    const tree = new CommitTree(objects, (await site.git("commit-tree", "-m", "forged", await treeOfBytes(raw))).trim());
    await expect(tree.find("a")).rejects.toMatchObject({ code: "git.bad-tree" });
  }
});

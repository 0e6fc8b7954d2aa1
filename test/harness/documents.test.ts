import { readFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { execa } from "execa";
import { expect, test } from "vitest";

const ROOT = resolve(import.meta.dirname, "../..");
const { stdout } = await execa("git", ["ls-files", "*.md"], { cwd: ROOT });
const documents = stdout.split("\n");

test.each(documents)("%s leads nowhere but to what is there", async (document) => {
  const links = [...(await readFile(join(ROOT, document), "utf8")).matchAll(/\]\((?!https?:)([^)\s]+)\)/g)].map(([, link = ""]) => link);
  const dead: string[] = [];
  for (const link of links) if (!(await isThere(document, link))) dead.push(link);
  expect(dead).toEqual([]);
});

async function isThere(document: string, link: string): Promise<boolean> {
  const [path = "", anchor] = link.split("#");
  const target = path === "" ? document : join(dirname(document), path);
  if (anchor === undefined)
    return (await execa("git", ["ls-files", "--error-unmatch", target], { cwd: ROOT, reject: false })).exitCode === 0;
  return anchorsOf(await readFile(join(ROOT, target), "utf8").catch(() => "")).includes(anchor);
}

/** As the usual hosts of Git make them of headings. */
function anchorsOf(text: string): string[] {
  return [...text.matchAll(/^#+ (.+)$/gm)].map(([, heading = ""]) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, "")
      .trim()
      .replace(/\s/g, "-"),
  );
}

import { afterAll, beforeAll, expect, test } from "vitest";
import { createSite, removeSite, type Site } from "#harness/site.ts";
import { Visitor } from "#harness/visitor.ts";
import { eventually } from "#harness/yard.ts";

const DOMAIN = "first.example.test";
const BOXES = 2;

/** The front page, which the boxes ask for when they verify, is another: nobody but visitors asks for this one. */
const PAGE = [
  "<?php header('Cache-Control: no-store');",
  "$part = __DIR__ . '/part.php';",
  "$was = opcache_is_script_cached($part) ? 'compiled' : 'not-compiled';",
  "echo php_uname('n'), ' ', require $part, ' ', $was;",
].join("\n");

let site: Site;

beforeAll(async () => {
  site = await createSite(DOMAIN);
  await site.repository.write({ "docroot/index.php": "<?php echo 'front';", "docroot/page.php": PAGE });
});
afterAll(() => removeSite(site));

async function deploy(version: string): Promise<void> {
  await site.repository.write({ "docroot/part.php": `<?php return '${version}';` });
  await site.repository.commit(version);
  const { exitCode, stderr } = await site.repository.push(site.website.gitUrl);
  expect(exitCode, stderr).toBe(0);
}

/** What the page said at its first request to each box. */
async function firstOfEachBox(): Promise<string[][]> {
  const visitor = new Visitor(DOMAIN);
  const first = new Map<string, string[]>();
  for (let n = 0; n < 100 && first.size < BOXES; n++) {
    const [box = "", ...said] = (await visitor.get(`/page.php?${n}`)).text.split(" ");
    if (!first.has(box)) first.set(box, said);
  }
  return [...first.values()];
}

test("what a page uses is compiled on every box before the switch, so that no visitor waits for it", async () => {
  await deploy("one");
  expect(await firstOfEachBox()).toEqual(Array(BOXES).fill(["one", "not-compiled"]));
  // PHP keeps what it has compiled when the file is two seconds old.
  await eventually("the page to be in use", async () => (await firstOfEachBox()).every(([, was]) => was === "compiled"));
  await deploy("two");
  expect(await firstOfEachBox()).toEqual(Array(BOXES).fill(["two", "compiled"]));
});

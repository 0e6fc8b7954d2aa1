import { afterAll, beforeAll, expect, test } from "vitest";
import { inServer, mustInServer } from "#harness/servers.ts";
import { createSite, removeSite, type Site } from "#harness/site.ts";
import { Visitor } from "#harness/visitor.ts";
import { eventually } from "#harness/yard.ts";

const DOMAIN = "first.example.test";
const BOXES = ["c1b1", "c1b2"];

/** The front page, which the boxes ask for when they verify, is another: nobody but visitors asks for this one. */
const PAGE = "<?php header('Cache-Control: no-store'); echo php_uname('n'), ' ', require __DIR__ . '/part.php';";
/** Where the website's account may read it; no website may ask PHP this. */
const PROGRAM = "/var/tmp/boxyard-is-compiled.php";
const IS_COMPILED = "<?php echo opcache_is_script_cached($_SERVER['PART']) ? 'compiled' : 'not-compiled';";

let site: Site;

beforeAll(async () => {
  site = await createSite(DOMAIN);
  await site.repository.write({ "docroot/index.php": "<?php echo 'front';", "docroot/page.php": PAGE });
  for (const box of BOXES) await inServer(box, ["tee", PROGRAM], IS_COMPILED);
});
afterAll(async () => {
  for (const box of BOXES) await mustInServer(box, "rm", "-f", PROGRAM);
  await removeSite(site);
});

async function deploy(version: string): Promise<void> {
  await site.repository.write({ "docroot/part.php": `<?php return '${version}';` });
  await site.repository.commit(version);
  const { exitCode, stderr } = await site.repository.push(site.website.gitUrl);
  expect(exitCode, stderr).toBe(0);
}

/** Whether each box's PHP has compiled the live release's part, asked as root, past what holds for websites. */
function areCompiled(): Promise<string[]> {
  const { id } = site.website;
  const part = `$(readlink -f /srv/sites/${id}/current)/docroot/part.php`;
  const parameters = `SCRIPT_FILENAME=${PROGRAM} REQUEST_METHOD=GET GATEWAY_INTERFACE=CGI/1.1 PHP_ADMIN_VALUE=opcache.restrict_api= PART="${part}"`;
  const line = `env ${parameters} cgi-fcgi -bind -connect /run/php/boxyard-${id}.sock`;
  return Promise.all(BOXES.map(async (box) => (await mustInServer(box, "sh", "-c", line)).split("\r\n\r\n")[1]?.trim() ?? ""));
}

/** What the page said, by box. */
async function visitEachBox(): Promise<Record<string, string>> {
  const visitor = new Visitor(DOMAIN);
  const said: Record<string, string> = {};
  for (let n = 0; n < 100 && Object.keys(said).length < BOXES.length; n++) {
    const [box = "", text = ""] = (await visitor.get(`/page.php?${n}`)).text.split(" ");
    said[box] = text;
  }
  return said;
}

test("what a page uses is compiled on every box before the switch, so that no visitor waits for it", async () => {
  await deploy("one");
  expect(await areCompiled()).toEqual(["not-compiled", "not-compiled"]);
  // PHP keeps what it has compiled when the file is two seconds old.
  await eventually("the page to be in use", async () => {
    expect(await visitEachBox()).toEqual({ c1b1: "one", c1b2: "one" });
    return (await areCompiled()).every((was) => was === "compiled");
  });
  await deploy("two");
  expect(await areCompiled()).toEqual(["compiled", "compiled"]);
  expect(await visitEachBox()).toEqual({ c1b1: "two", c1b2: "two" });
});

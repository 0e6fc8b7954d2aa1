import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { CommitId } from "#contract/names.ts";
import type { Repository } from "#harness/repository.ts";
import { allAreBack } from "#harness/requests.ts";
import { mustInServer } from "#harness/servers.ts";
import { createSite, removeSite } from "#harness/site.ts";
import { commitTruth, findLies, type Reading, Visitors } from "#harness/truth.ts";
import { Visitor } from "#harness/visitor.ts";
import { boxyard, listDeployments, type WebsiteJson } from "#harness/yard.ts";

const DOMAIN = "truth.example.test";
const DEPLOYMENTS = Number(process.env["BOXYARD_TRUTH_DEPLOYMENTS"] ?? 20);
let repository: Repository;
let website: WebsiteJson;
let versions: Map<string, CommitId>;

beforeAll(async () => {
  ({ website, repository } = await createSite(DOMAIN));
  versions = new Map();
  for (const version of ["one", "two"]) {
    versions.set(version, await commitTruth(repository, version));
    const pushed = await repository.push(website.gitUrl);
    expect(pushed.exitCode, pushed.stderr).toBe(0);
  }
  await allAreBack();
});

afterAll(() => removeSite({ website, repository }));

async function deploy(version: string): Promise<void> {
  const result = await boxyard("deploy", website.id, "--ref", versions.get(version) ?? "");
  expect(result.exitCode, result.stderr).toBe(0);
}

/** What visitors met while the work was done, and what of it they should not have. */
async function visitedWhile(work: () => Promise<void>): Promise<{ readings: readonly Reading[]; lies: string[] }> {
  const visitors = await Visitors.start(DOMAIN);
  try {
    await sleep(300);
    await work();
    await sleep(300);
  } finally {
    await visitors.stop();
  }
  const readings = visitors.take();
  return { readings, lies: findLies(readings, { deployments: await listDeployments(website.id), versions }) };
}

describe("visitors who read all the time", () => {
  test(`meet ${DEPLOYMENTS} deployments of two alternating releases, each whole and at one instant, and no error`, async () => {
    const { readings, lies } = await visitedWhile(async () => {
      for (let nth = 0; nth < DEPLOYMENTS; nth++) await deploy(nth % 2 === 0 ? "one" : "two");
    });
    expect(lies).toEqual([]);
    expect(new Set(readings.map(({ release }) => release))).toEqual(new Set(versions.values()));
    expect(new Set(readings.map(({ box }) => box)).size).toBe(2);
    expect(readings.length).toBeGreaterThan(DEPLOYMENTS * 10);
  }, 600_000);

  test("notice it when a box breaks the agreement for a moment", async () => {
    await deploy("two");
    const site = `/srv/sites/${website.id}`;
    const flip = (version: string) => `ln -sfn releases/${versions.get(version)} ${site}/flip && mv -T ${site}/flip ${site}/current`;
    const { lies } = await visitedWhile(async () => {
      await mustInServer("c1b2", "sh", "-c", `${flip("one")} && sleep 0.3; ${flip("two")}`);
    });
    expect(lies.length).toBeGreaterThan(0);
    for (const lie of lies) expect(lie).toMatch(/c1b2 served|mixed page from c1b2/);
  });
});

test("a visitor with a page of the release before still open gets what belongs to it, and with one of earlier ones not", async () => {
  const release = async (style: string, removed: string | null) => {
    if (removed !== null) await repository.git("rm", "-q", `docroot/${removed}`);
    await repository.write({ [`docroot/${style}`]: `/* ${style} */`, [`docroot/${style}.php`]: "<?php echo 'code';" });
    await repository.commit(style);
    const pushed = await repository.push(website.gitUrl);
    expect(pushed.exitCode, pushed.stderr).toBe(0);
  };
  const visitor = new Visitor(DOMAIN);
  await release("a.css", null);
  await release("b.css", "a.css");
  await repository.git("rm", "-q", "docroot/a.css.php");
  for (let nth = 0; nth < 4; nth++) {
    expect(await visitor.get(`/a.css?${nth}`)).toMatchObject({ status: 200, text: "/* a.css */" });
    expect(await visitor.get(`/b.css?${nth}`)).toMatchObject({ status: 200, text: "/* b.css */" });
  }
  await release("c.css", "b.css");
  expect((await visitor.get("/a.css?again")).status).toBe(404);
  expect(await visitor.get("/b.css?again")).toMatchObject({ status: 200, text: "/* b.css */" });
  // What is run is never of the release before.
  expect((await visitor.get("/a.css.php")).status).toBe(404);
});

// Takes over a minute: deployments in a row, and agents whose clock is wrong.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { withWrongClock } from "#harness/faults.ts";
import { allAreBack } from "#harness/requests.ts";
import { mustInServer } from "#harness/servers.ts";
import { TruthSite } from "#harness/truth-site.ts";
import { Visitor } from "#harness/visitor.ts";

const DOMAIN = "truth.example.test";
let truth: TruthSite;

beforeAll(async () => {
  truth = await TruthSite.create(DOMAIN);
  await allAreBack();
});

afterAll(() => truth.remove());

describe("visitors who read all the time", () => {
  test("notice it when a box breaks the agreement for a moment", async () => {
    await truth.deploy("two");
    const site = `/srv/sites/${truth.site.website.id}`;
    const flip = (version: string) => `ln -sfn releases/${truth.versions.get(version)} ${site}/flip && mv -T ${site}/flip ${site}/current`;
    const { lies } = await truth.visitedWhile(async () => {
      await mustInServer("c1b2", "sh", "-c", `${flip("one")} && sleep 0.3; ${flip("two")}`);
    });
    expect(lies.length).toBeGreaterThan(0);
    for (const lie of lies) expect(lie).toMatch(/c1b2 served|mixed page from c1b2/);
  });

  test("notice it when a box switches late in a deployment, and tells that it was in time", async () => {
    // Its agent keeps to the instant by a clock that is slow, and gives its receipt by the same one.
    const { lies } = await withWrongClock("c1b2", -0.4, async () => {
      await allAreBack();
      await truth.isVisited("c1b2");
      return truth.visitedWhile(() => truth.alternate(4));
    });
    expect(lies.length).toBeGreaterThan(0);
    for (const lie of lies) expect(lie).toMatch(/c1b2 served/);
    await allAreBack();
  });
});

test("a visitor with a page of the release before still open gets what belongs to it, and with one of earlier ones not", async () => {
  const { repository, website } = truth.site;
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

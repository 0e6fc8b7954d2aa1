import { beforeEach, expect, test } from "vitest";
import { pushOf } from "#harness/deployments.ts";
import { CARRIERS, useOneWebsite } from "#harness/one-website.ts";
import { findWebsiteOnYard } from "../store/website-on-yard.ts";

const site = useOneWebsite();
const [first, second] = [pushOf("s1", 1), pushOf("s1", 2)];

beforeEach(() => void site.start());

test("a server that has cleaned the release before away gets it again, and goes back with the others", async () => {
  await site.deploy(first, 1);
  site.yard.statuses.set("c1b1", 500);
  site.script = (_, action) => {
    if (action === "release.probe") site.yard.forgetRelease("c1b2", first.commit);
    return "ok";
  };
  expect(await site.deploy(second, 2)).toMatchObject({ state: "rolled-back" });
  const staged = site.yard.asked.filter(({ action, release }) => action === "release.stage" && release === first.commit);
  expect(staged.slice(CARRIERS.length).map(({ server }) => server)).toEqual(["c1b2"]);
  expect(site.liveOn()).toEqual(CARRIERS.map(() => first.commit));
});

test("a box that does not confirm the way back gets no visitors until it has gone back", async () => {
  await site.deploy(first, 1);
  const sentTo: unknown[] = [];
  site.script = (server, action, nth) => {
    // All are asked what they have live just before it ends; a moment later the box may have returned.
    if (server === "c1b1" && action === "server.status") sentTo.push(site.yard.rotation.get("c1v1"));
    return server === "c1b2" && action === "release.switch" && nth > 0 ? "late-and-mute" : "ok";
  };
  expect(await site.deploy(second, 2)).toMatchObject({ state: "rolled-back" });
  expect(site.lines().at(-1)).toContain("c1b2 did not confirm and gets no visitors until it has gone back");
  expect(site.lines().at(-2)).toMatch(/^live now: 1001000 on c1b1, c1s; 1002000 on c1b2|^live now: 1001000 on c1b1, c1b2, c1s/);
  expect(sentTo).toEqual([["c1b1"]]);
});

test("a first deployment that fails leaves the website without a release", async () => {
  site.yard.statuses.set("c1b1", 503);
  expect(await site.deploy(first, 1)).toMatchObject({ state: "rolled-back" });
  expect(site.liveOn()).toEqual([null, null, null]);
  expect((await findWebsiteOnYard(site.store, "s1"))?.release).toBeNull();
});

// Takes over five minutes, or BOXYARD_ATTACK_SECONDS.
/**
 * An attacker with a website's rights renames, links, swaps and removes below everything that it can write, while
 * the agents seed, stage, converge, deploy and roll back.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { SEED } from "#harness/seed.ts";
import { inServer, mustInServer } from "#harness/servers.ts";
import { commitPage, createSite, removeSite, type Site } from "#harness/site.ts";
import { boxyard, eventually, listServers, status } from "#harness/yard.ts";
import { Attacker, type Counts } from "./attackers.ts";
import { differences, exceptionsFor, type Snapshot, takeSnapshot } from "./snapshot.ts";

const SECONDS = Number(process.env["BOXYARD_ATTACK_SECONDS"] ?? 300);
const DOMAINS = { attacker: "attacker.example.test", victim: "victim.example.test" };
const [BOX, SHELL] = ["c1b1", "c1s"];
const ANYWHERE = ["seeds", "churn", "doors", "modes", "temporary", "web_flip"];
const ATTACKS: Readonly<Record<string, readonly string[]>> = { [BOX]: [...ANYWHERE, "web_ask"], [SHELL]: [...ANYWHERE, "home", "spool"] };
/** Files of each folder that is seeded, and names among them that lie where the attacker's links lead. */
const SEEDED = 700;
const NAMES = ["passwd", "shadow", "environment", "spec.json", ".bashrc", "hosts"];

let attacker: Site;
let victim: Site;
const attackers: Attacker[] = [];
const planted = "/etc/boxyard-planted";

beforeAll(async () => {
  process.stdout.write(`attacks for ${SECONDS} s from seed ${SEED}: again with bin/test --slice attacks --seed ${SEED}\n`);
  [attacker, victim] = [await createSite(DOMAINS.attacker), await createSite(DOMAINS.victim)];
  await attacker.repository.write({ Boxfile: boxfile(0), "docroot/race/.keep": "" });
  for (const { repository, website } of [attacker, victim]) {
    await commitPage(repository, "one");
    expect((await repository.push(website.gitUrl)).exitCode).toBe(0);
  }
  for (const server of [BOX, SHELL]) await mustInServer(server, "sh", "-c", `echo planted > ${planted}`);
}, 900_000);

afterAll(async () => {
  for (const one of attackers) await one.stop();
  for (const server of [BOX, SHELL]) await inServer(server, ["rm", "-rf", planted, `${planted}.new`]);
  for (const site of [attacker, victim]) await removeSite(site);
}, 900_000);

function boxfile(round: number): string {
  const folders = ["docroot/race", ...Array.from({ length: round }, (_, nth) => `docroot/shared${nth + 1}`)];
  return `version: 2.0\nshared_folders:\n${folders.map((folder) => `  - ${folder}\n`).join("")}`;
}

/** A commit with one more shared folder, which has directories in directories and many files in them. */
async function pushFolder(round: number): Promise<string> {
  const folder = `docroot/shared${round}`;
  const names = [...Array.from({ length: SEEDED }, (_, nth) => `a${String(nth).padStart(4, "0")}`), ...NAMES];
  const files = ["x", "y", "z"].flatMap((outer) => names.map((name) => [`${folder}/${outer}/inner/${name}`, name]));
  await attacker.repository.write({ Boxfile: boxfile(round), ...Object.fromEntries(files) });
  await attacker.repository.commit(`Folder ${round}`);
  const pushed = await attacker.repository.push(attacker.website.gitUrl);
  return pushed.exitCode === 0 ? "" : pushed.stderr;
}

/** What is not as it was on a server, or was stolen. */
async function harm(one: Attacker, before: Snapshot): Promise<string[]> {
  const found = differences(before, await takeSnapshot(one.server), exceptionsFor(attacker.website.id));
  const stolen = (await one.counts())["web_ask"]?.["stolen"] ?? 0;
  const named = found.map((line) => `${one.server}: ${line}`);
  return stolen === 0 ? named : [...named, `${one.server}: Apache has given out the neighbour's secrets`];
}

async function startAttackers(): Promise<void> {
  const told = { site: attacker.website.id, victim: victim.website.id, domain: DOMAINS.attacker, seed: SEED };
  for (const [server, attacks] of Object.entries(ATTACKS))
    attackers.push(await Attacker.start({ server, ...told, attacks, seconds: SECONDS + 600 }));
}

interface Under {
  readonly failed: string[];
  rounds: number;
}

/** Everything that an agent does in the attacker's trees, over and over. */
async function workUnderAttack(until: number): Promise<Under> {
  const under: Under = { failed: [], rounds: 0 };
  while (Date.now() < until) {
    const refused = await pushFolder(++under.rounds);
    if (refused !== "") under.failed.push(`push ${under.rounds}: ${refused}`);
    for (const command of [
      ["do", "server.converge", "--target", "box or shell"],
      ["rollback", attacker.website.id],
    ]) {
      const { exitCode, stderr, stdout } = await boxyard(...command);
      if (exitCode !== 0) under.failed.push(`${command.join(" ")}: ${stderr}${stdout}`);
    }
  }
  return under;
}

/** Looks all the time what is not as it was; gives each harm with the time after which it was seen. */
async function lookForHarm(before: ReadonlyMap<string, Snapshot>, isOver: () => boolean): Promise<string[]> {
  const startedAt = Date.now();
  const harmed = new Map<string, number>();
  for (let isLast = false; !isLast; await sleep(isLast ? 0 : 3_000)) {
    isLast = isOver();
    for (const one of attackers)
      for (const line of await harm(one, before.get(one.server) ?? new Map())) {
        if (harmed.has(line)) continue;
        harmed.set(line, Math.round((Date.now() - startedAt) / 1000));
        process.stdout.write(`after ${harmed.get(line)} s, seed ${SEED}: ${line}\n`);
      }
  }
  return [...harmed].map(([line, seconds]) => `after ${seconds} s: ${line}`);
}

test(
  "nothing outside of a website's own trees changes or is given out, whatever the website does while agents work",
  async () => {
    const before = new Map<string, Snapshot>();
    for (const server of [BOX, SHELL]) before.set(server, await takeSnapshot(server));
    await startAttackers();
    await sleep(2_000);
    let isOver = false;
    const working = workUnderAttack(Date.now() + SECONDS * 1_000).finally(() => {
      isOver = true;
    });
    const [{ failed, rounds }, harmed] = await Promise.all([working, lookForHarm(before, () => isOver)]);
    const counts = new Map<string, Counts>();
    for (const one of attackers) {
      counts.set(one.server, await one.counts());
      process.stdout.write(`${one.server}: ${JSON.stringify(counts.get(one.server))}\n`);
      expect(await one.broken(), one.server).toBe("");
    }
    expect(harmed, `seed ${SEED}`).toEqual([]);
    expect(failed, `seed ${SEED}`).toEqual([]);
    for (const [server, attacks] of Object.entries(ATTACKS)) expectAttacked(server, { attacks, rounds, counts: counts.get(server) ?? {} });
    await expectBystandersUnharmed();
  },
  (SECONDS + 600) * 1_000,
);

interface Attacked {
  readonly attacks: readonly string[];
  readonly rounds: number;
  readonly counts: Counts;
}

/** The attacks took place: an attacker that could do nothing harms nobody either. */
function expectAttacked(server: string, { attacks, rounds, counts }: Attacked): void {
  for (const name of attacks) expect(counts[name]?.["steps"], `steps of ${name} on ${server}`).toBeGreaterThan(name === "spool" ? 5 : 100);
  expect(counts["doors"]?.["opened"] ?? 0, `what has to be refused on ${server}`).toBe(0);
  expect(counts["seeds"]?.["seen"], `seeds on ${server}`).toBeGreaterThanOrEqual(rounds / 2);
  for (const what of ["made", "linked", "renamed", "swapped", "removed"])
    expect(counts["churn"]?.[what], `churn: ${what} on ${server}`).toBeGreaterThan(10);
  if (!attacks.includes("web_ask")) return;
  const { own = 0, "status 403": refused = 0 } = counts["web_ask"] ?? {};
  expect(own, "its own file was given out").toBeGreaterThan(0);
  expect(refused, "its links were refused").toBeGreaterThan(100);
}

/** Its servers are as they should be, other websites' commands and visitors go on, and what is amiss is said of the website. */
async function expectBystandersUnharmed(): Promise<void> {
  await eventually("all servers ready", async () => (await listServers()).every(({ state }) => state === "ready"), 60_000);
  await commitPage(victim.repository, "two");
  const pushed = await victim.repository.push(victim.website.gitUrl);
  expect(pushed.exitCode, pushed.stderr).toBe(0);
  for (const one of attackers) await one.stop();
  const home = `/srv/sites/${attacker.website.id}/home`;
  await mustInServer(SHELL, "sh", "-c", `rm -rf ${home}/current && mkdir ${home}/current && chown ${attacker.website.id}: ${home}/current`);
  await boxyard("do", "server.converge", "--target", "shell");
  const trouble = `website ${attacker.website.id} on ${SHELL}: ${home}/current is a directory`;
  await eventually("what is amiss", async () => (await status()).troubles.some((one) => one.startsWith(trouble)), 20_000);
  expect((await listServers()).find(({ name }) => name === SHELL)).toMatchObject({ state: "ready" });
  const added = await boxyard("key", "add", victim.website.id, attacker.repository.publicKeyFile);
  expect(added.exitCode, added.stderr).toBe(0);
}

test("a change outside of its trees would have been noticed, and in a folder for everybody one of what is not its own", async () => {
  // They still run when the test before has failed, and would change what is given to them here.
  for (const one of attackers) await one.stop();
  const exceptions = exceptionsFor(attacker.website.id);
  const [unit, file, own] = ["/run/systemd/system/planted.service", "/run/php/planted", "/tmp/boxyard-own"];
  for (const server of [BOX, SHELL]) {
    const config = `/srv/sites/${victim.website.id}/config`;
    const files = `/srv/files/${victim.website.id}`;
    const uid = (await mustInServer(server, "id", "-u", attacker.website.id)).trim();
    const plant = `mkdir -p ${planted}.new && echo x > ${files}/planted && echo a > ${config}/planted && echo a > ${file} && echo a > ${own}.not`;
    await mustInServer(server, "sh", "-c", plant);
    const before = await takeSnapshot(server);
    const change = `chown 12345 ${planted}; rm -r ${planted}.new; chmod 666 ${config}/planted; echo b > ${config}/planted; rm ${files}/planted; ln -s /etc ${config}/door`;
    const fleeting = `touch ${unit} ${own}.roots ${own}; echo b > ${file}; chown ${uid} ${own}.not ${own}`;
    for (const changes of [change, fleeting]) await mustInServer(server, "sh", "-c", changes);
    const found = differences(before, await takeSnapshot(server), exceptions);
    const left = [`${config}/planted`, `${config}/door`, planted, unit, file, own, `${own}.not`, `${own}.roots`];
    await mustInServer(server, "rm", "-f", ...left);
    expect(found.sort(), server).toEqual(
      [
        `${config}/door is new`,
        `${config}/planted had mode 644, has 666`,
        `${config}/planted has other content`,
        `${planted} belonged to 0:0, belongs to 12345:0`,
        `${planted}.new is gone`,
        `${files}/planted is gone`,
        `${unit} is new`,
        `${file} has other content`,
        `${own}.not belonged to 0:0, belongs to ${uid}:0`,
        `${own}.roots is new`,
      ].sort(),
    );
  }
});

import { setTimeout as sleep } from "node:timers/promises";
import { expect } from "vitest";
import { type Asked, allAreBack, ask, returns } from "./requests.ts";
import { readInServer } from "./servers.ts";

const CACHES = ["c1v1", "c1v2"] as const;
const RESTART = ["service.restart", "--service", "memcached", "--target", "cache and c1"] as const;
/** By which systemd's journal knows that it has started a unit. */
const UNIT_STARTED = "39f53479d3a045ac8e11786248231fbf";

/** How often a server has started memcached: what is carried out twice is counted twice. */
async function starts(): Promise<Record<string, number>> {
  const counted = CACHES.map(async (server): Promise<[string, number]> => {
    const said = await readInServer(server, "journalctl", "-q", "-o", "cat", "UNIT=memcached.service", `MESSAGE_ID=${UNIT_STARTED}`);
    return [server, said.split("\n").filter(Boolean).length];
  });
  return Object.fromEntries(await Promise.all(counted));
}

/** One after the other: what is restarted at the same moment for two requests systemd does once. */
async function askThrice(): Promise<PromiseSettledResult<Asked>[]> {
  const asked: PromiseSettledResult<Asked>[] = [];
  for (let nth = 0; nth < 3; nth++) asked.push(...(await Promise.allSettled([ask(...RESTART, "--timeout", "8")])));
  return asked;
}

/** What leaves open whether the server has done it all the same; so does a silence of which it is said that it came after it was asked. */
const LEFT_OPEN = new Set(["fabric.timed-out", "fabric.cancelled"]);

/** How often requests were carried out on a server at least and at most, as their callers were told. */
function bounds(asked: readonly PromiseSettledResult<Asked>[], server: string): [least: number, most: number] {
  let [done, open] = [0, 0];
  for (const one of asked) {
    if (one.status === "rejected") {
      // The command line has told that control was gone.
      expect(String(one.reason)).toMatch(/broke off|does not answer|cannot reach/);
      open++;
      continue;
    }
    const { answers } = one.value;
    expect(answers.map(({ server }) => server).sort()).toEqual([...CACHES]);
    const fault = answers.find((answer) => answer.server === server)?.fault;
    if (fault === undefined) done++;
    else {
      expect(fault.code).toMatch(/^fabric\./);
      if (LEFT_OPEN.has(fault.code) || fault.message.includes("was asked")) open++;
    }
  }
  return [done, done + open];
}

/**
 * A fault while servers are asked to do something: nothing is carried out twice, each caller is told how his request ended, and
 * every server is heard of again, which takes 5 s on a machine that is not busy. `fault` makes it, and gives when it ended.
 */
export async function expectOnceWhile(fault: () => Promise<number>): Promise<void> {
  await allAreBack();
  const before = await starts();
  // Before it, in it and near its end: none of them may come twice.
  const asking = askThrice();
  await sleep(700);
  const endedAtMs = await fault();
  const back = await returns(endedAtMs, 120_000);
  const asked = await asking;
  // What was on its way when the fault began has arrived by now, or is void.
  await sleep(3_000);
  const after = await starts();
  for (const server of CACHES) {
    const [least, most] = bounds(asked, server);
    const count = (after[server] ?? 0) - (before[server] ?? 0);
    expect(count, server).toBeGreaterThanOrEqual(least);
    expect(count, server).toBeLessThanOrEqual(most);
  }
  console.log(`heard of again, the last after ${Math.max(...Object.values(back))} ms`);
  const [once] = [await ask(...RESTART)];
  expect(once.summary.answered).toBe(2);
  expect(await starts()).toEqual({ c1v1: (after["c1v1"] ?? 0) + 1, c1v2: (after["c1v2"] ?? 0) + 1 });
}

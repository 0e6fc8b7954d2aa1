// Takes about a minute and a half: servers are stopped, and come back.
import { afterEach, describe, expect, test } from "vitest";
import { eventLine } from "#contract/event-line.ts";
import type { Event } from "#contract/events.ts";
import { inServer, mustInServer, powerOff } from "#harness/servers.ts";
import { boxyard, boxyardJson, eventually } from "#harness/yard.ts";

/** Ten are promised; these machines are busy. */
const NAMED_MS = 20_000;

interface Stored {
  readonly number: number;
  readonly event: Event;
}

async function lastNumber(): Promise<number> {
  return (await boxyardJson<Stored[]>("events", "--last", "1")).at(-1)?.number ?? 0;
}

/** What was reported of a server since then, without what its agent changed. */
async function reported(server: string, after: number): Promise<string[]> {
  const stored = await boxyardJson<Stored[]>("events", "--after", String(after), "--target", server);
  return stored.flatMap(({ event }) => (event.kind === "server" || event.kind === "units" ? [eventLine(event)] : []));
}

/** The status as a person meets it: by its exit status and its lines. */
async function troubles(...command: readonly string[]): Promise<{ exitCode: number; troubles: string[] }> {
  const { exitCode, stdout } = await boxyard(...(command.length === 0 ? ["status"] : command), "--json");
  return { exitCode, troubles: (JSON.parse(stdout) as { troubles: string[] }).troubles };
}

async function isNamed(line: RegExp, ...command: readonly string[]): Promise<void> {
  await eventually(
    `${line} in the status`,
    async () => {
      const said = await troubles(...command);
      return said.exitCode === 1 && said.troubles.some((one) => line.test(one));
    },
    NAMED_MS,
  );
}

const allIsWell = (): Promise<unknown> => eventually("all to be well", async () => (await troubles()).exitCode === 0, 120_000);
afterEach(async () => {
  await allIsWell();
}, 150_000);

describe("a server", () => {
  test("that is stopped is named, with the websites that need it, until it is back; events say that it went, was started and is back", async () => {
    const after = await lastNumber();
    await powerOff("c1b2");
    await Promise.all([isNamed(/^c1b2 is unreachable: /), isNamed(/^c1b2 is unreachable: /, "website", "show", "s1")]);
    await allIsWell();
    expect(await reported("c1b2", after)).toEqual([
      expect.stringMatching(/^c1b2 is away: it is off/),
      "c1b2 was off and has been started",
      expect.stringMatching(/^c1b2 is back after /),
    ]);
  });

  test("that reports nothing is named as silent, and is back when it does", async () => {
    const after = await lastNumber();
    await mustInServer("c1v2", "systemctl", "stop", "boxyard-agent");
    try {
      await isNamed(/^c1v2 is unreachable: it runs and reports nothing/);
    } finally {
      await mustInServer("c1v2", "systemctl", "start", "boxyard-agent");
    }
    await allIsWell();
    expect((await reported("c1v2", after)).map((line) => line.split(":")[0])).toEqual([
      "c1v2 is away",
      expect.stringMatching(/^c1v2 is back after /),
    ]);
  });
});

describe("a unit that a role needs", () => {
  const UNITS = [
    ["db1", "mariadb.service"],
    ["c1v1", "memcached.service"],
    ["c1v1", "varnish.service"],
    ["c1b1", "apache2.service"],
    ["c1b2", "php8.4-fpm.service"],
    ["c1s", "cron.service"],
    ["git1", "ssh.service"],
    ["edge1", "haproxy.service"],
  ] as const;

  test.each(UNITS)("on %s is started again when it was stopped, which is an event: %s", async (server, unit) => {
    const after = await lastNumber();
    await mustInServer(server, "systemctl", "stop", unit);
    await eventually(
      "it to run",
      async () => (await inServer(server, ["systemctl", "is-active", "--quiet", unit])).exitCode === 0,
      NAMED_MS,
    );
    await eventually("the event", async () => (await reported(server, after)).some((line) => line.includes(unit)));
  });

  test("and dies is an event, too, when systemd starts it again", async () => {
    const after = await lastNumber();
    await mustInServer("db1", "systemctl", "kill", "--kill-whom=main", "--signal=KILL", "mariadb.service");
    await eventually("the event", async () => (await reported("db1", after)).some((line) => line.startsWith("mariadb.service ")));
  });

  test("and cannot be started is named in the status", async () => {
    await mustInServer("c1v1", "systemctl", "mask", "--runtime", "--now", "memcached.service");
    try {
      await isNamed(/^c1v1 is failed: .*memcached/);
    } finally {
      await mustInServer("c1v1", "systemctl", "unmask", "--runtime", "memcached.service");
    }
  });
});

test("a control that cannot be asked is exit status 2", async () => {
  await mustInServer("control1", "systemctl", "stop", "boxyard-control");
  try {
    expect((await boxyard("status")).exitCode).toBe(2);
    expect((await boxyard("website", "show", "s1")).exitCode).toBe(2);
  } finally {
    await mustInServer("control1", "systemctl", "start", "boxyard-control");
  }
});

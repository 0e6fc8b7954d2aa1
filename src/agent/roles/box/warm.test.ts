import { beforeEach, describe, expect, test, vi } from "vitest";
import { Fault } from "#base/fault.ts";
import type { Log } from "#base/log.ts";
import type { Argv, RunOptions } from "#base/run.ts";
import type { StagedRelease } from "../../website/releases/release-file.ts";
import { WARM_SCRIPT } from "./php.ts";
import { warmRelease } from "./warm.ts";

const STAGED = "a".repeat(40);
const LIVE = "b".repeat(40);

/** What runs when PHP is asked, and what it answers. */
const php = vi.hoisted(() => ({
  asked: [] as { argv: Argv; options: RunOptions }[],
  answer: async (): Promise<string> => "",
}));
vi.mock("#base/run.ts", () => ({
  run: vi.fn(async (argv: Argv, options: RunOptions) => {
    php.asked.push({ argv, options });
    return { exitCode: 0, stdout: await php.answer(), stderr: "" };
  }),
}));
/** Which release is live, by the website's link to it. */
const live = vi.hoisted(() => new Map<string, string>());
vi.mock("../../website/releases/switch.ts", () => ({ readLive: ({ current }: { current: string }) => live.get(current) ?? null }));

const logged: { level: string; fields: object; message: string }[] = [];
const log = {
  info: (fields: object, message: string) => void logged.push({ level: "info", fields, message }),
  warn: (fields: object, message: string) => void logged.push({ level: "warn", fields, message }),
} as unknown as Log;
const { signal } = new AbortController();
const warm = () => warmRelease({ website: { id: "s1" }, staged: { commit: STAGED } as StagedRelease, log, signal });

beforeEach(() => {
  php.asked.length = 0;
  logged.length = 0;
  live.clear();
  live.set("/srv/sites/s1/current", LIVE);
  php.answer = async () => "Content-type: text/plain\r\n\r\ncompiled=12\n";
});

describe("a staged release", () => {
  test("is compiled by the website's own PHP, by what the live one has compiled, for less time than is waited", async () => {
    await warm();
    expect(php.asked).toEqual([
      {
        argv: ["cgi-fcgi", "-bind", "-connect", "/run/php/boxyard-s1.sock"],
        options: {
          environment: {
            SCRIPT_FILENAME: WARM_SCRIPT,
            REQUEST_METHOD: "GET",
            GATEWAY_INTERFACE: "CGI/1.1",
            BOXYARD_WARM_FROM: `/srv/sites/s1/releases/${LIVE}`,
            BOXYARD_WARM_TO: `/srv/sites/s1/releases/${STAGED}`,
            BOXYARD_WARM_MS: expect.stringMatching(/^\d+$/),
          },
          timeoutMs: expect.any(Number),
          signal,
        },
      },
    ]);
    const { environment, timeoutMs } = php.asked[0]?.options ?? {};
    expect(timeoutMs).toBeGreaterThan(Number(environment?.["BOXYARD_WARM_MS"]));
    expect(logged).toMatchObject([{ level: "info", fields: { website: "s1", release: STAGED, compiled: "12" }, message: "warmed" }]);
  });

  test("is not compiled when none is live before it", async () => {
    live.clear();
    await warm();
    expect(php.asked).toEqual([]);
    expect(logged).toEqual([]);
  });

  test("goes live all the same when its PHP does not answer, and that is noted", async () => {
    php.answer = () => Promise.reject(new Fault("run.failed", "cgi-fcgi: could not connect"));
    await warm();
    const fault = { code: "run.failed", message: "cgi-fcgi: could not connect", next: null };
    expect(logged).toEqual([{ level: "warn", fields: { website: "s1", fault }, message: "not warmed" }]);
  });

  test.each(["", "compiled=many\n", "not compiled=3\n"])(
    "whose PHP answers %j counts as warmed, with nothing known of how far",
    async (answer) => {
      php.answer = async () => answer;
      await warm();
      expect(logged).toMatchObject([{ level: "info", fields: { compiled: undefined }, message: "warmed" }]);
    },
  );
});

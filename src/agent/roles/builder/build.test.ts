import { PassThrough, type Readable } from "node:stream";
import { setImmediate as turn } from "node:timers/promises";
import { beforeEach, describe, expect, test, vi } from "vitest";
import type { Argv, RunOptions } from "#base/run.ts";
import { BuilderSpec } from "#contract/spec/builder.ts";
import { USUAL_LIMITS } from "#contract/work-settings.ts";
import type { TransientUnit, UnitOutcome } from "../../transient-unit.ts";
import type { BuildQuestion, PackQuestion, PackSource } from "../../website/releases/pack-source.ts";
import { Build } from "./build.ts";
import { buildEnvironment } from "./environment.ts";

const COMMIT = "0123456789abcdef0123456789abcdef01234567";
const BUILD = "b".repeat(40);
const UNIT = "boxyard-build-0123456789ab.service";

/** What happens, in its order. */
const steps = vi.hoisted(() => [] as string[]);
/** What is handed on from step to step. */
const given = vi.hoisted(() => ({
  rules: "",
  units: [] as TransientUnit[],
  questions: [] as PackQuestion[],
  brought: [] as { pack: Readable; question: BuildQuestion; signal: AbortSignal }[],
  packSignals: [] as AbortSignal[],
}));
/** How the server is, and what a test makes fail or wait. */
const server = vi.hoisted(() => ({
  outcome: { state: "running", exitStatus: null } as UnitOutcome,
  lines: [] as string[],
  plan: { commands: ["composer install", "npm ci"], seconds: null as number | null },
  faults: new Map<string, Error>(),
  packing: Promise.resolve(),
}));
const step = vi.hoisted(() => (name: string): void => {
  steps.push(name);
  const fault = server.faults.get(name);
  if (fault !== undefined) throw fault;
});

vi.mock("#base/run.ts", () => ({
  run: vi.fn(async (argv: Argv, { input }: RunOptions = {}) => {
    step(argv.join(" "));
    if (argv[0] === "nft") given.rules = String(input);
    return { exitCode: 0, stdout: "", stderr: "" };
  }),
}));
vi.mock("../../converge/user.ts", () => ({ endProcesses: async (uid: number) => step(`end processes of ${uid}`) }));
vi.mock("../../transient-unit.ts", async (original) => ({
  ...(await original<typeof import("../../transient-unit.ts")>()),
  beginUnit: async (unit: TransientUnit) => {
    step("begin");
    given.units.push(unit);
  },
  forgetUnit: async (name: string) => step(`forget ${name}`),
  readUnit: async (name: string) => {
    step(`look at ${name}`);
    return server.outcome;
  },
  readUnitOutput: async (name: string, { after, most }: { after: string | null; most: number }) => {
    step(`read ${name}`);
    const from = Number(after ?? 0);
    const lines = server.lines.slice(from, from + most);
    return { lines, cursor: lines.length === 0 ? after : String(from + lines.length) };
  },
  syncJournal: async () => step("sync"),
}));
vi.mock("./workshop.ts", async (original) => ({
  ...(await original<typeof import("./workshop.ts")>()),
  Workshop: class {
    readonly repository = "/workshop/repository.git";
    readonly tree = "/workshop/tree";
    clear = async () => step("clear");
    checkOut = async (commit: string) => step(`check out ${commit}`);
    plan = async (commit: string, environment: string) => {
      step(`plan ${commit} for ${environment}`);
      return server.plan;
    };
    writeScript = async (script: string) => {
      step(`write ${script}`);
      return "/workshop/build.sh";
    };
    commit = async (commit: string) => {
      step(`commit what was built of ${commit}`);
      return BUILD;
    };
    startPack = (build: string, commit: string, signal: AbortSignal) => {
      step(`pack ${build} without ${commit}`);
      given.packSignals.push(signal);
      return { stdin: new PassThrough(), stdout: PACK, ended: server.packing };
    };
  },
}));

const PACK = new PassThrough();
const fetching = { answer: async (): Promise<string> => COMMIT };
const packs = {
  fetchInto: async (repository: string, question: PackQuestion, signal: AbortSignal) => {
    step(`fetch into ${repository}`);
    given.questions.push(question);
    expect(signal.aborted).toBe(false);
    return fetching.answer();
  },
  bring: async (pack: Readable, question: BuildQuestion, signal: AbortSignal) => {
    step("bring");
    given.brought.push({ pack, question, signal });
  },
} as unknown as PackSource;

const spec = BuilderSpec.parse({
  git: { server: "git1", address: "10.77.3.9", port: 7443 },
  website: "s1",
  environment: "staging",
  network: "10.77.3.0/24",
  limits: { ...USUAL_LIMITS, buildSeconds: 1_000, buildMemoryMegabytes: 700, buildProcessors: 1.15, buildProcesses: 99 },
  packages: { npmrc: "registry=http://192.168.7.3:4873/\n//192.168.7.3:4873/:_authToken=secret-token\n", authorities: "" },
});

const prepared = [
  "nft -f -",
  `forget ${UNIT}`,
  "clear",
  "fetch into /workshop/repository.git",
  `check out ${COMMIT}`,
  "install -d --owner=builder --group=builder -m 0700 /srv/build/home",
  `plan ${COMMIT} for staging`,
  "write printf '%s\\n' '$ composer install'\ncomposer install\nprintf '%s\\n' '$ npm ci'\nnpm ci",
  "begin",
];
const brought = ["end processes of 19999", `commit what was built of ${COMMIT}`, `pack ${BUILD} without ${COMMIT}`, "bring"];
const running = { state: "running", exitStatus: null, lines: [], cursor: null, build: null };

let build: Build;

beforeEach(() => {
  steps.length = 0;
  Object.assign(given, { rules: "", units: [], questions: [], brought: [], packSignals: [] });
  Object.assign(server, {
    outcome: { state: "running", exitStatus: null },
    lines: [],
    plan: { commands: ["composer install", "npm ci"], seconds: null },
    packing: Promise.resolve(),
  });
  server.faults.clear();
  fetching.answer = async () => COMMIT;
  build = new Build(spec, COMMIT, packs);
});

/** Until nothing goes on in the background any more. */
async function rest(): Promise<void> {
  // The addresses of registries are looked up outside of this thread.
  for (let last = -1; last !== steps.length; ) {
    last = steps.length;
    await new Promise((resolve) => setTimeout(resolve, 20));
    await turn();
  }
}

/** A build whose commands run. */
async function begin(): Promise<void> {
  await build.advance(null);
  await rest();
}

describe("a build", () => {
  test("is prepared once, step by step, however often it is asked for", async () => {
    expect(await Promise.all([build.advance(null), build.advance(null)])).toEqual([running, running]);
    await rest();
    await build.advance(null);
    await rest();
    expect(steps.slice(0, prepared.length)).toEqual(prepared);
    expect(steps.slice(prepared.length)).toEqual([`look at ${UNIT}`, `read ${UNIT}`]);
    expect(given.questions).toEqual([{ source: spec.git, website: "s1", commit: COMMIT, have: null }]);
  });

  test("is kept from the yard before anything of the website is there, but for the operator's registry", async () => {
    await begin();
    expect(given.rules).toContain("meta skuid 19999 ip daddr 10.77.3.0/24 udp dport 53 accept");
    expect(given.rules).toContain("meta skuid 19999 ip daddr 192.168.7.3 tcp dport 4873 accept");
    expect(given.rules).toMatch(/meta skuid 19999 ip daddr \{[^}]*, 10\.77\.3\.0\/24 \} reject/);
  });

  test("runs as the builder in its tree, within the limits of the yard", async () => {
    await begin();
    expect(given.units).toEqual([
      {
        name: UNIT,
        command: ["/bin/bash", "-e", "-o", "pipefail", "/workshop/build.sh"],
        limitSeconds: 900,
        properties: ["MemoryMax=700M", "MemorySwapMax=0", "CPUQuota=115%", "TasksMax=99", "NoNewPrivileges=yes", "UMask=0022"],
        environment: buildEnvironment(spec, COMMIT),
        user: "builder",
        directory: "/workshop/tree",
      },
    ]);
  });

  test.each([
    [30, 30],
    [5_000, 1_000],
  ])("whose Boxfile asks for %i s may take %i s", async (seconds, limitSeconds) => {
    server.plan = { commands: ["make"], seconds };
    await begin();
    expect(given.units).toMatchObject([{ limitSeconds }]);
  });

  test("runs while it is prepared, and what an earlier attempt has said is not reported", async () => {
    fetching.answer = () => new Promise(() => undefined);
    server.outcome = { state: "done", exitStatus: 0 };
    server.lines = ["of an earlier attempt"];
    await begin();
    expect(await build.advance("7")).toEqual({ ...running, cursor: "7" });
    expect(steps).toEqual(prepared.slice(0, 4));
  });

  test("of a tree that was built before is done with what was built then", async () => {
    fetching.answer = async () => BUILD;
    await begin();
    expect(await build.advance("7")).toEqual({ state: "done", exitStatus: null, lines: [], cursor: "7", build: BUILD });
    await rest();
    expect(steps).toEqual(prepared.slice(0, 4));
  });

  test.each(["nft -f -", "clear", "fetch into /workshop/repository.git", "begin"])(
    "that cannot begin for want of “%s” says so, and is not tried again",
    async (name) => {
      const cause = new Error("no space");
      server.faults.set(name, cause);
      await begin();
      const [before, at] = [prepared.slice(0, prepared.indexOf(name) + 1), await build.advance(null).catch((thrown: unknown) => thrown)];
      expect(at).toMatchObject({ code: "build.not-prepared", cause });
      server.faults.clear();
      await expect(build.advance(null)).rejects.toBe(at);
      await rest();
      expect(steps).toEqual(before);
    },
  );
});

describe("what a build says", () => {
  test("is reported without the secrets of the operator's npm configuration", async () => {
    await begin();
    server.lines = ["$ composer install", "GET http://192.168.7.3:4873/ with secret-token"];
    const lines = ["$ composer install", "GET http://192.168.7.3:4873/ with ***"];
    expect(await build.advance(null)).toEqual({ ...running, lines, cursor: "2" });
  });

  test("is reported from where the last answer ended", async () => {
    await begin();
    server.lines = ["one", "two", "three"];
    expect(await build.advance("2")).toEqual({ ...running, lines: ["three"], cursor: "3" });
  });

  test.each([
    ["failed", 3],
    ["timed-out", null],
    ["lost", null],
  ] as const)("is reported to its end before the build counts as %s, and nothing is brought", async (state, exitStatus) => {
    await begin();
    server.outcome = { state, exitStatus };
    server.lines = Array.from({ length: 501 }, (_, index) => `line ${index}`);
    steps.length = 0;
    const first = await build.advance(null);
    expect(first).toMatchObject({ state: "running", exitStatus, cursor: "500", build: null });
    expect(first.lines).toHaveLength(500);
    expect(steps).toEqual([`look at ${UNIT}`, "sync", `read ${UNIT}`]);
    expect(await build.advance("500")).toEqual({ state, exitStatus, lines: ["line 500"], cursor: "501", build: null });
    await rest();
    expect(steps).not.toContain("bring");
  });
});

describe("a build whose commands have ended well", () => {
  beforeEach(async () => {
    await begin();
    server.outcome = { state: "done", exitStatus: 0 };
    server.lines = ["built"];
    steps.length = 0;
  });

  const progress = { exitStatus: 0, lines: ["built"], cursor: "1" };

  test("is brought once, with no process left that could change it, and is done when that has ended", async () => {
    const packing = Promise.withResolvers<void>();
    server.packing = packing.promise;
    expect(await Promise.all([build.advance(null), build.advance(null)])).toEqual(
      [running, running].map((one) => ({ ...one, ...progress })),
    );
    await rest();
    expect(await build.advance(null)).toEqual({ ...progress, state: "running", build: null });
    packing.resolve();
    await rest();
    expect(await build.advance(null)).toEqual({ ...progress, state: "done", build: BUILD });
    expect(await build.advance("1")).toEqual({ state: "done", exitStatus: 0, lines: [], cursor: "1", build: BUILD });
    await rest();
    expect(steps.filter((name) => !/^(look|read|sync)/.test(name))).toEqual(brought);
    expect(given.brought).toEqual([
      { pack: PACK, question: { source: spec.git, website: "s1", commit: COMMIT, build: BUILD }, signal: given.packSignals[0] },
    ]);
    expect(given.packSignals[0]?.aborted).toBe(false);
  });

  test("is brought only when all that they have said is reported", async () => {
    server.lines = Array.from({ length: 500 }, (_, index) => `line ${index}`);
    expect(await build.advance(null)).toMatchObject({ state: "running", cursor: "500" });
    await rest();
    expect(steps).not.toContain("bring");
    await build.advance("500");
    await rest();
    expect(steps).toContain("bring");
  });

  test.each(brought)("says what was in the way of “%s”, and does not go on", async (name) => {
    const cause = new Error("no space");
    server.faults.set(name, cause);
    expect(await build.advance(null)).toMatchObject({ state: "running" });
    await rest();
    await expect(build.advance(null)).rejects.toMatchObject({ code: "build.not-brought", cause });
    expect(steps.filter((one) => !/^(look|read|sync)/.test(one))).toEqual(brought.slice(0, brought.indexOf(name) + 1));
  });

  test("says so when the pack did not end well, although the git server took it", async () => {
    server.packing = Promise.reject(new Error("git: killed"));
    server.packing.catch(() => undefined);
    await build.advance(null);
    await rest();
    await expect(build.advance(null)).rejects.toMatchObject({ code: "build.not-brought" });
  });
});

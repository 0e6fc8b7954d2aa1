import { availableParallelism } from "node:os";
import { defineConfig } from "vitest/config";
import { InOrder } from "./test/in-order.ts";
import { RunReporter } from "./test/runner/reporter.ts";
import { SLICES, type Slice } from "./test/runner/slices.ts";

/** CI's machine has other things to do at times: what fails there is tried once more, and bin/test names it at its end. */
const retry = process.env["CI"] === undefined ? 0 : 1;

/** Where bin/test reads what happened. */
const report = process.env["BOXYARD_TEST_REPORT"];

const YARD_SETUP = "test/harness/yard-setup.ts";
const POSTGRES = "test/harness/postgres-server.ts";

const ON_A_YARD = {
  retry,
  globalSetup: [YARD_SETUP],
  fileParallelism: false,
  maxWorkers: 1,
  testTimeout: 180_000,
  hookTimeout: 300_000,
};

/** More than Vitest's own default, which leaves one processor idle: unit tests wait for real services half of their time. */
const UNIT_WORKERS = availableParallelism();

/** Needs the machine's cloud daemon and the server image, as a yard does. */
const CLOUD = "src/cloud/incus/*.test.ts";

/** Three brokers without a yard; takes over a minute. */
const CLUSTER = "src/fabric/cluster.test.ts";

/** What slices have of the tests beside the code: long ones, and in the shortest slice ten times as many scenarios as in the gate. */
const BESIDE_THE_CODE: Partial<Record<Slice, { readonly include: string[]; readonly env: Record<string, string> }>> = {
  requests: {
    include: [CLUSTER, "src/control/deploy/model.test.ts", "src/control/deploy/exhaustive.test.ts"],
    env: { BOXYARD_MODEL_RUNS: "250", BOXYARD_MODEL_PAIRS: "400", BOXYARD_MODEL_SHARE: "1" },
  },
};

/** `unit`: beside the code, in parallel. The others: on a real yard, one file after the other, in the order of their names. */
export default defineConfig({
  test: {
    reporters: ["default", ...(report === undefined ? [] : [new RunReporter(report)])],
    sequence: { sequencer: InOrder },
    projects: [
      {
        test: {
          name: "unit",
          retry,
          include: ["src/**/*.test.ts", "test/{harness,mutations,runner}/**/*.test.ts"],
          exclude: [CLOUD, CLUSTER],
          globalSetup: [POSTGRES],
          maxWorkers: UNIT_WORKERS,
          testTimeout: 30_000,
          hookTimeout: 60_000,
        },
      },
      { test: { ...ON_A_YARD, name: "yard", include: ["test/yard/**/*.test.ts", CLOUD] } },
      ...SLICES.map((name) => {
        const { include = [], env = {} } = BESIDE_THE_CODE[name] ?? {};
        return {
          test: { ...ON_A_YARD, name, env, globalSetup: [YARD_SETUP, POSTGRES], include: [`test/${name}/**/*.test.ts`, ...include] },
        };
      }),
    ],
  },
});

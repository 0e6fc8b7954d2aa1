import { availableParallelism } from "node:os";
import { defineConfig } from "vitest/config";
import { InOrder } from "./test/in-order.ts";
import { RunReporter } from "./test/runner/reporter.ts";
import { SLICES, type Slice } from "./test/runner/slices.ts";

/** CI's machine has other things to do at times: what fails there is tried once more, and bin/test names it at its end. */
const retry = process.env["CI"] === undefined ? 0 : 1;

/** Where bin/test reads what happened. */
const report = process.env["BOXYARD_TEST_REPORT"];

const ON_A_YARD = {
  retry,
  globalSetup: ["test/harness/yard-setup.ts"],
  fileParallelism: false,
  maxWorkers: 1,
  testTimeout: 180_000,
  hookTimeout: 300_000,
};

/** More than Vitest's own default, which leaves one processor idle: unit tests wait for real services half of their time. */
const UNIT_WORKERS = availableParallelism();

/** Needs the machine's cloud daemon and the server image, as a yard does. */
const CLOUD = "src/cloud/incus/*.test.ts";

/** Takes over a minute without a yard, and belongs to a slice by what it is about. */
const BESIDE_THE_CODE: Partial<Record<Slice, string[]>> = { brokers: ["src/fabric/cluster.test.ts"] };

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
          exclude: [CLOUD, ...Object.values(BESIDE_THE_CODE).flat()],
          globalSetup: ["test/harness/postgres-server.ts"],
          maxWorkers: UNIT_WORKERS,
          testTimeout: 30_000,
          hookTimeout: 60_000,
        },
      },
      { test: { ...ON_A_YARD, name: "yard", include: ["test/yard/**/*.test.ts", CLOUD] } },
      ...SLICES.map((name) => ({
        test: { ...ON_A_YARD, name, include: [`test/${name}/**/*.test.ts`, ...(BESIDE_THE_CODE[name] ?? [])] },
      })),
    ],
  },
});

import { defineConfig } from "vitest/config";
import { InOrder } from "./test/in-order.ts";

/** CI's machine has other things to do at times: what fails there is tried once more, and told of when that passes. */
const retry = process.env["CI"] === undefined ? 0 : 1;

const ON_A_YARD = {
  retry,
  globalSetup: ["test/yard/setup.ts"],
  fileParallelism: false,
  maxWorkers: 1,
  testTimeout: 180_000,
  hookTimeout: 300_000,
};

/**
 * `unit`: beside the code, in parallel. `yard`: on a real yard, one file after the other, in the order of their names.
 * `faults`: the same, for what takes long. `brokers`: the same, for a yard with three control servers.
 */
export default defineConfig({
  test: {
    sequence: { sequencer: InOrder },
    projects: [
      {
        test: {
          name: "unit",
          retry,
          include: ["src/**/*.test.ts", "test/harness/**/*.test.ts"],
          testTimeout: 30_000,
          hookTimeout: 60_000,
        },
      },
      { test: { ...ON_A_YARD, name: "yard", include: ["test/yard/**/*.test.ts"] } },
      { test: { ...ON_A_YARD, name: "faults", include: ["test/faults/**/*.test.ts"] } },
      { test: { ...ON_A_YARD, name: "brokers", include: ["test/brokers/**/*.test.ts"] } },
    ],
  },
});

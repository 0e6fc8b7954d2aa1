import { defineConfig } from "vitest/config";
import { InOrder } from "./test/in-order.ts";

const ON_A_YARD = {
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

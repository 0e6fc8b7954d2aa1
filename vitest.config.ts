import { defineConfig } from "vitest/config";
import { InOrder } from "./test/in-order.ts";

/** CI's machine has other things to do at times: what fails there is tried once more, and told of when that passes. */
const retry = process.env["CI"] === undefined ? 0 : 1;

const ON_A_YARD = {
  retry,
  globalSetup: ["test/harness/yard-setup.ts"],
  fileParallelism: false,
  maxWorkers: 1,
  testTimeout: 180_000,
  hookTimeout: 300_000,
};

/** `yard` belongs to the gate; each of the others is a slice. */
const ON_YARDS = ["yard", "faults", "requests", "attacks", "applications", "brokers"];

/** `unit`: beside the code, in parallel. The others: on a real yard, one file after the other, in the order of their names. */
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
      ...ON_YARDS.map((name) => ({ test: { ...ON_A_YARD, name, include: [`test/${name}/**/*.test.ts`] } })),
    ],
  },
});

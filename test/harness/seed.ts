/** From which tests draw their random input; `bin/test` prints it, and `--seed` repeats a run. */
export const SEED = Number(process.env["BOXYARD_TEST_SEED"] ?? Date.now() % 1_000_000_000);

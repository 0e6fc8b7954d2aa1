import { relative } from "node:path";
import { onTestFailed } from "vitest";
import { SEED } from "./seed.ts";

/** Says how to repeat the test at hand in the same order, should it fail. */
export function sayHowToRepeat(): void {
  onTestFailed(({ task }) => {
    const file = relative("", task.file.filepath);
    console.log(`it failed with seed ${SEED}; the same again: bin/test unit ${file} --seed ${SEED}`);
  });
}

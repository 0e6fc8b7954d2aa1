import { expect, test, vi } from "vitest";
import type { Argv } from "#base/run.ts";
import { goldenText } from "#harness/golden.ts";
import { setUpDatabase } from "./database.ts";
import type { OwnedFile } from "./file.ts";

/** What is done to the server, in order; nothing is done to this machine. */
const done = vi.hoisted(() => [] as (Argv | readonly OwnedFile[])[]);
vi.mock("#base/run.ts", () => ({
  run: async (argv: Argv) => {
    done.push(argv);
    return { exitCode: 0, stdout: "1\n", stderr: "" };
  },
}));
vi.mock("./file.ts", () => ({
  ensureFiles: async (files: readonly OwnedFile[]) => {
    done.push(files);
    return true;
  },
}));

test("systemd knows that a PostgreSQL which is killed comes back, as the golden file says, before it starts one", async () => {
  await setUpDatabase();
  const [files, reload, start] = done;
  await expect(goldenText(files as readonly OwnedFile[])).toMatchFileSnapshot("golden/postgresql");
  expect([reload, start]).toEqual([
    ["systemctl", "daemon-reload"],
    ["systemctl", "enable", "--now", "postgresql@17-main.service"],
  ]);
});

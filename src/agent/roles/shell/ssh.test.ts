import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { loginWithManyKeys } from "#harness/sshd.ts";
import { sshFiles } from "./ssh.ts";

let scratch: string;
beforeEach(async () => {
  scratch = await mkdtemp(join(tmpdir(), "boxyard-ssh-"));
});
afterEach(() => rm(scratch, { recursive: true, force: true }));

test("a client whose agent has twelve keys is let in with the last of them", async () => {
  const files = sshFiles({ hostKey: "", websites: [{ id: "s1", authorizedKeys: [] }] });
  const configuration = files.find(({ path }) => path.endsWith("/sshd_config"))?.content ?? "";
  expect(await loginWithManyKeys(configuration, 12, scratch)).toBe("let in");
});

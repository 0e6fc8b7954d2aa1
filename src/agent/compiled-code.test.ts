import { chmod, lchown, mkdir, mkdtemp, readdir, rm, stat, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { compiledCode } from "./compiled-code.ts";
import { convergeGroups } from "./converge/runner.ts";

const TENANT = 20_001;

test("the cache of compiled code that everybody could write is root's alone, and what others have put there is gone", async () => {
  const scratch = await mkdtemp(join(tmpdir(), "boxyard-compiled-"));
  try {
    const cache = join(scratch, "node");
    await mkdir(cache);
    await chmod(cache, 0o1777);
    for (const name of ["v24-0", "v24-20001"]) await mkdir(join(cache, name));
    await symlink(scratch, join(cache, "link"));
    for (const name of ["v24-20001", "link"]) await lchown(join(cache, name), TENANT, TENANT);
    const { changed, faults } = await convergeGroups([{ name: "common", resources: compiledCode(cache) }], new AbortController().signal);
    expect([changed.length, faults]).toEqual([2, []]);
    expect((await stat(cache)).mode & 0o7777).toBe(0o755);
    expect(await readdir(cache)).toEqual(["v24-0"]);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
});

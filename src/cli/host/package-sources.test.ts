import { expect, test } from "vitest";
import { memoryCloud } from "#cloud/memory/cloud.ts";
import { ensurePackageSources } from "./package-sources.ts";

const PATH = "/etc/apt/sources.list";

test("servers of an older image get security updates among their package sources; what an operator wrote stays", async () => {
  const cloud = memoryCloud();
  const own = "deb http://mirror.example/debian trixie main contrib\n";
  for (const [name, content] of [
    ["db1", "deb http://mirror.example/debian trixie main\n"],
    ["git1", own],
  ] as const)
    await cloud.ensureServer({
      name,
      template: "template-1",
      address: "10.77.5.9",
      guard: "address",
      volumes: [],
      files: [{ path: PATH, content }],
    });
  const read = async (name: string): Promise<string> => new TextDecoder().decode((await cloud.readFile(name, PATH)) ?? undefined);
  for (let turn = 0; turn < 2; turn++) {
    await ensurePackageSources(cloud, ["db1", "git1"]);
    expect(await read("db1")).toMatch(/^deb \S+ trixie main\ndeb \S+ trixie-updates main\ndeb \S+-security trixie-security main\n$/);
    expect(await read("git1")).toBe(own);
  }
});

import { describe, expect, test } from "vitest";
import { disk, processes } from "#contract/actions/server.ts";
import { matches } from "#fabric/targets/match.ts";
import { parseTarget } from "#fabric/targets/parse.ts";
import { readFacts } from "../facts.ts";
import { readDisk, readProcesses } from "./host.ts";
import { targetView } from "./target-view.ts";

describe("what a server tells of itself", () => {
  test("is the file system of a path", async () => {
    const found = disk.output.parse(await readDisk("/"));
    expect(found.freeBytes).toBeLessThanOrEqual(found.totalBytes);
    expect(found.usedPercent).toBeGreaterThan(0);
    await expect(readDisk("/no/such/path")).rejects.toMatchObject({ code: "server.no-path" });
  });

  test("is its greatest processes, without their arguments", async () => {
    const found = processes.output.parse(await readProcesses(3));
    expect(found.processes).toHaveLength(3);
    const sizes = found.processes.map(({ memoryBytes }) => memoryBytes);
    expect(sizes).toEqual([...sizes].sort((a, b) => b - a));
    expect(JSON.stringify(found)).not.toContain(process.argv[1]);
  });
});

describe("a server decides by itself whether a target means it", () => {
  const view = async () =>
    targetView({ server: "c1b1", spec: null, facts: await readFacts(), releases: { s1: "4f2a".padEnd(40, "0"), s2: null } });
  test.each([
    ["c1b1", true],
    ["box", false],
    ["os.name=debian", true],
    ["memory.total>1M and cpu.count>=1", true],
    ["disk('/').free>1K", true],
    ["disk('/').used>100", false],
    ["disk('/no/such/path').free>0", false],
    ["release('s1')=4f2a0", true],
    ["release(s2)=4f2a", false],
    ["release(s3)=4f2a", false],
  ])("%s", async (expression, expected) => {
    expect(await matches(parseTarget(expression), await view())).toBe(expected);
  });

  test("and refuses a question that it does not know, or whose argument is none", async () => {
    await expect(matches(parseTarget("shell('id')=0"), await view())).rejects.toMatchObject({ code: "target.unknown-question" });
    await expect(matches(parseTarget("service('-x;y').active"), await view())).rejects.toThrow("not a service's name");
  });
});

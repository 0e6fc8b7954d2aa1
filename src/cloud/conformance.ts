import { afterAll, beforeAll, expect, test } from "vitest";
import { until } from "#base/retry.ts";
import { bootFiles } from "./boot-files.ts";
import type { Cloud, ServerWant, VolumeMount } from "./driver.ts";

/** A cloud to be examined, empty but for the template. */
export interface CloudUnderTest {
  readonly cloud: Cloud;
  readonly template: string;
  /** Of a network of 256 addresses, "10.77.9."; .1 is its gateway. */
  readonly networkPrefix: string;
}

/** The cloud, once it is open. */
type Tested = () => CloudUnderTest;

const LONG_MS = 120_000;
const failed = expect.objectContaining({ code: "cloud.failed" });

/** What every cloud driver promises; the tests build on each other, in their order. */
export function cloudConformance(open: () => Promise<CloudUnderTest>): void {
  let opened: CloudUnderTest | undefined;
  const tested: Tested = () => {
    if (opened === undefined) throw new Error("the cloud was not opened");
    return opened;
  };
  const cloud = (): Cloud => tested().cloud;

  beforeAll(async () => {
    opened = await open();
  }, 15 * 60_000);

  afterAll(async () => {
    for (const name of ["first", "second"]) await cloud().removeServer(name);
    for (const name of ["shared", "later"]) await cloud().removeVolume(name);
  }, LONG_MS);

  testCreation(cloud, tested);
  testFilesAndCommands(cloud);
  testGuards(cloud, tested);
  testSharedVolumes(cloud, tested);
  testLifecycle(cloud, tested);
}

function testCreation(cloud: () => Cloud, tested: Tested): void {
  test("a cloud that may be used says so", async () => {
    await cloud().check();
  });

  test("a volume may be asked for twice, also at once", async () => {
    await Promise.all([cloud().ensureVolume("shared"), cloud().ensureVolume("shared")]);
    await cloud().ensureVolume("shared");
    expect(await cloud().listVolumes()).toEqual(["shared"]);
  });

  test("a server runs once it was asked for, and may be asked for again", { timeout: LONG_MS }, async () => {
    await cloud().ensureServer(writer(tested()));
    await cloud().ensureServer(writer(tested()));
    expect(await cloud().listServers()).toContainEqual({ name: "first", isRunning: true, guard: "address" });
  });

  test("a server boots with the files that were written before its first start", { timeout: LONG_MS }, async () => {
    await whenBooted(cloud(), "first");
    expect(await cloud().execute("first", ["cat", "/etc/boxyard/word"])).toEqual({ exitCode: 0, stdout: "before boot", stderr: "" });
    expect(await read(cloud(), "first", "/etc/hostname")).toBe("first\n");
  });

  test("a running server is not written over when it is asked for again", { timeout: LONG_MS }, async () => {
    await cloud().writeFile("first", { path: "/etc/boxyard/word", content: "after boot" });
    await cloud().ensureServer(writer(tested()));
    expect(await read(cloud(), "first", "/etc/boxyard/word")).toBe("after boot");
  });
}

function testFilesAndCommands(cloud: () => Cloud): void {
  test("a file is read back byte for byte, below directories that were not there", async () => {
    const bytes = Uint8Array.from({ length: 70_000 }, (_, index) => index % 256);
    await cloud().writeFile("first", { path: "/srv/new/deep/file", content: bytes, mode: 0o600 });
    const readBack = await cloud().readFile("first", "/srv/new/deep/file");
    expect(Buffer.from(readBack ?? []).equals(bytes)).toBe(true);
  });

  test("a file that is not there is null; a server that is not there is a fault", async () => {
    expect(await cloud().readFile("first", "/etc/nothing")).toBeNull();
    await expect(cloud().readFile("nobody", "/etc/hostname")).rejects.toEqual(failed);
    await expect(cloud().writeFile("nobody", { path: "/etc/word", content: "" })).rejects.toEqual(failed);
  });

  test("a command's exit code and what it says on standard error come back", async () => {
    const missing = await cloud().execute("first", ["cat", "/etc/nothing"]);
    expect(missing).toEqual({ exitCode: 1, stdout: "", stderr: "cat: /etc/nothing: No such file or directory\n" });
    expect((await cloud().execute("first", ["false"])).exitCode).toBe(1);
    expect((await cloud().execute("first", ["no-such-program"])).exitCode).toBe(127);
  });

  test("a command that does not end is ended at its time limit", async () => {
    const startedAt = performance.now();
    await expect(cloud().execute("first", ["sleep", "60"], { timeoutMs: 500 })).rejects.toEqual(failed);
    expect(performance.now() - startedAt).toBeLessThan(20_000);
  });
}

function testGuards(cloud: () => Cloud, tested: Tested): void {
  const guard = async (name: string) => (await cloud().listServers()).find((server) => server.name === name)?.guard;

  test("a running server's guard changes on demand, and is what it was once the server is asked for again", async () => {
    await cloud().guardServer("first", "hardware");
    await cloud().guardServer("first", "hardware");
    expect(await guard("first")).toBe("hardware");
    await cloud().ensureServer(writer(tested()));
    expect(await guard("first")).toBe("address");
    expect((await cloud().execute("first", ["true"])).exitCode).toBe(0);
    await expect(cloud().guardServer("nobody", "address")).rejects.toEqual(failed);
  });

  test("a server has no door to the cloud's own API", async () => {
    for (const door of ["/dev/lxd/sock", "/dev/incus/sock"]) {
      const { exitCode, stderr } = await cloud().execute("first", ["cat", door]);
      expect({ exitCode, stderr }).toEqual({ exitCode: 1, stderr: `cat: ${door}: No such file or directory\n` });
    }
  });
}

function testSharedVolumes(cloud: () => Cloud, tested: Tested): void {
  test("servers share a volume: who mounts it read-write is read by who mounts it read-only", { timeout: LONG_MS }, async () => {
    await cloud().ensureServer(reader(tested()));
    await cloud().writeFile("first", { path: "/srv/shared/word", content: "shared" });
    await whenBooted(cloud(), "second");
    expect((await cloud().execute("second", ["cat", "/srv/mirror/word"])).stdout).toBe("shared");
    await expect(cloud().writeFile("second", { path: "/srv/mirror/word", content: "mine" })).rejects.toEqual(failed);
    expect(await read(cloud(), "first", "/srv/shared/word")).toBe("shared");
  });

  test("a running server is given a volume that it lacks", { timeout: LONG_MS }, async () => {
    await cloud().ensureVolume("later");
    const { volumes } = writer(tested());
    await cloud().ensureServer(want(tested(), "first", [...volumes, { volume: "later", path: "/srv/later", isReadOnly: false }]));
    await cloud().writeFile("first", { path: "/srv/later/word", content: "hot" });
    expect(await read(cloud(), "first", "/srv/later/word")).toBe("hot");
  });

  test("a volume that a server mounts is not removed", async () => {
    await expect(cloud().removeVolume("shared")).rejects.toEqual(failed);
    expect(await cloud().listVolumes()).toContain("shared");
  });
}

function testLifecycle(cloud: () => Cloud, tested: Tested): void {
  test("a server stops and starts, each twice, and keeps its files", { timeout: LONG_MS }, async () => {
    await cloud().stopServer("first");
    await cloud().stopServer("first", { isForced: true });
    expect(await cloud().listServers()).toContainEqual({ name: "first", isRunning: false, guard: "address" });
    await expect(cloud().execute("first", ["true"])).rejects.toEqual(failed);
    await cloud().startServer("first");
    await cloud().startServer("first");
    expect(await read(cloud(), "first", "/etc/boxyard/word")).toBe("after boot");
  });

  test("a server that is not there cannot be started, and need not be stopped", async () => {
    await expect(cloud().startServer("nobody")).rejects.toEqual(failed);
    await cloud().stopServer("nobody");
  });

  test("servers and volumes are removed, twice, and what was never there too", { timeout: LONG_MS }, async () => {
    for (const name of ["first", "second", "first", "nobody"]) await cloud().removeServer(name);
    for (const name of ["shared", "later", "shared", "nothing"]) await cloud().removeVolume(name);
    expect((await cloud().listServers()).filter(({ name }) => name !== tested().template)).toEqual([]);
    expect(await cloud().listVolumes()).toEqual([]);
  });
}

/** The first server writes what the second may only read. */
function writer(tested: CloudUnderTest): ServerWant {
  return want(tested, "first", [{ volume: "shared", path: "/srv/shared", isReadOnly: false }]);
}

function reader(tested: CloudUnderTest): ServerWant {
  return want(tested, "second", [{ volume: "shared", path: "/srv/mirror", isReadOnly: true }]);
}

function want({ template, networkPrefix }: CloudUnderTest, name: "first" | "second", volumes: readonly VolumeMount[]): ServerWant {
  const address = `${networkPrefix}${name === "first" ? 11 : 12}`;
  const boot = bootFiles({ name, address, prefixLength: 24, gateway: `${networkPrefix}1` });
  return { name, address, guard: "address", template, volumes, files: [...boot, { path: "/etc/boxyard/word", content: "before boot" }] };
}

/** Commands of a server that is only starting may fail. */
async function whenBooted(cloud: Cloud, server: string): Promise<void> {
  await until(`${server} to boot`, async () => ((await cloud.execute(server, ["true"])).exitCode === 0 ? true : null), {
    timeoutMs: 30_000,
  });
}

async function read(cloud: Cloud, server: string, path: string): Promise<string | null> {
  const bytes = await cloud.readFile(server, path);
  return bytes === null ? null : new TextDecoder().decode(bytes);
}

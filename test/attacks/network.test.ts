// Takes over a minute: it makes a second cluster.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { KERNEL_PROTECTIONS } from "#contract/kernel-protections.ts";
import { guardOfServer, inServer, mustInServer, packetsFrom, setDoor, takeGuardFrom } from "#harness/servers.ts";
import { Visitor } from "#harness/visitor.ts";
import { boxyard, boxyardJson, eventually, listServers, showWebsite } from "#harness/yard.ts";

/** Says again and again that an address is at the hardware address of who sends it; to all, as a server that has just come does. */
const CLAIM = "/var/tmp/boxyard-claim.py";
const CLAIMING = `import socket, sys, time
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind(("eth0", 0))
mac, ip, all = s.getsockname()[4], socket.inet_aton(sys.argv[1]), b"\\xff" * 6
for n in range(int(sys.argv[2])):
    for kind in (1, 2):
        s.send(all + mac + b"\\x08\\x06\\x00\\x01\\x08\\x00\\x06\\x04\\x00" + bytes([kind]) + mac + ip + all + ip)
    time.sleep(0.1)
`;
const EDGE = "edge1";
const CACHE = "c1v1";

let cluster: string;
/** A box of another cluster, as its root. */
let attacker: string;
let addresses: ReadonlyMap<string, string>;

beforeAll(async () => {
  cluster = (await boxyardJson<{ id: string }>("cluster", "create", "--boxes", "1")).id;
  attacker = `${cluster}b1`;
  addresses = new Map((await listServers()).map(({ name, address }) => [name, address]));
  await inServer(attacker, ["tee", CLAIM], CLAIMING);
}, 600_000);

afterAll(() => boxyard("cluster", "delete", cluster), 300_000);

const addressOf = (server: string): string => addresses.get(server) ?? "";
const claim = (rounds: number): Promise<string> => mustInServer(attacker, "python3", CLAIM, addressOf(CACHE), String(rounds));
const hardwareOf = async (server: string): Promise<string> => (await mustInServer(server, "cat", "/sys/class/net/eth0/address")).trim();

/** Where the edge thinks the cache is. */
async function believed(): Promise<string> {
  const said = await mustInServer(EDGE, "ip", "-4", "neighbour", "show", addressOf(CACHE));
  return /lladdr (\S+)/.exec(said)?.[1] ?? "nowhere";
}

/** The sockets at which a server's root would reach the cloud's API. */
async function doorsOf(server: string): Promise<string[]> {
  const look = "for socket in /dev/lxd/sock /dev/incus/sock; do test ! -S $socket || echo $socket; done";
  return (await mustInServer(server, "sh", "-c", look)).split("\n").filter((line) => line !== "");
}

describe("a server's root that claims another server's address", () => {
  test("is not heard: the edge goes on to find the cache, and visitors their pages", async () => {
    const { domains, release } = await showWebsite("s1");
    const visitor = new Visitor(domains[0]?.name ?? "");
    const cache = await hardwareOf(CACHE);
    const before = await packetsFrom(attacker);
    const claiming = claim(50);
    let hasEnded = false;
    void claiming.finally(() => {
      hasEnded = true;
    });
    let looks = 0;
    for (; !hasEnded; looks++) {
      expect(await believed()).toBe(cache);
      const page = await visitor.get("/");
      expect([page.status, page.headers["x-boxyard-release"]]).toEqual([200, release]);
    }
    await claiming;
    expect(looks).toBeGreaterThan(0);
    // They have left the server: it is the host that drops them.
    expect((await packetsFrom(attacker)) - before).toBeGreaterThanOrEqual(100);
  });

  test("would be heard without its guard, which comes back by itself", async () => {
    const foreign = await hardwareOf(attacker);
    try {
      await eventually("the edge to believe what is not guarded against", async () => {
        await takeGuardFrom(attacker);
        await claim(5);
        return (await believed()) === foreign;
      });
    } finally {
      await eventually("the guard to be back", async () => (await guardOfServer(attacker)).hasNoOtherAddress, 60_000);
      await mustInServer(EDGE, "ip", "neighbour", "flush", "dev", "eth0");
    }
    await eventually("the edge to find the cache again", async () => (await believed()) === (await hardwareOf(CACHE)));
    await claim(10);
    expect(await believed()).toBe(await hardwareOf(CACHE));
  });
});

describe("the guard", () => {
  test("is on every server: edges may answer at floating addresses, all others at their own alone", async () => {
    for (const { name, roles } of await listServers())
      expect(await guardOfServer(name), name).toEqual({
        hasNoOtherHardware: true,
        hasNoOtherAddress: !roles.includes("edge"),
        isClosed: true,
      });
  });

  test("lets no packet leave with an address that is not the server's, unless it is an edge", async () => {
    const floating = addressOf(EDGE).replace(/\d+$/, "251");
    const pings = async (server: string): Promise<boolean> => {
      await mustInServer(server, "ip", "address", "replace", `${floating}/32`, "dev", "eth0");
      try {
        return (await inServer(server, ["ping", "-c", "3", "-i", "0.3", "-W", "1", "-I", floating, addressOf("git1")])).exitCode === 0;
      } finally {
        await mustInServer(server, "ip", "address", "delete", `${floating}/32`, "dev", "eth0");
      }
    };
    expect(await pings(attacker)).toBe(false);
    // What was not found under the foreign address is not looked for again at once.
    const own = ["ping", "-c", "1", "-W", "2", addressOf("git1")];
    await eventually("its own address to work", async () => (await inServer(attacker, own)).exitCode === 0);
    expect(await pings(EDGE)).toBe(true);
  });

  test("leaves no door to the cloud's own API, which the cloud would open otherwise", async () => {
    for (const { name } of await listServers()) expect(await doorsOf(name), name).toEqual([]);
    try {
      await eventually("a door without the guard", async () => {
        await setDoor(attacker, { isOpen: true });
        return (await doorsOf(attacker)).length > 0;
      });
    } finally {
      await setDoor(attacker, { isOpen: false });
    }
    expect(await doorsOf(attacker)).toEqual([]);
  });
});

describe("memcached", () => {
  const ask = async (from: string, cache: string): Promise<string> => {
    const { stdout, stderr } = await inServer(from, ["sh", "-c", `echo version | socat -t 3 - TCP:${addressOf(cache)}:11211`]);
    return /VERSION|Connection refused/.exec(stdout + stderr)?.[0] ?? stdout + stderr;
  };

  test("answers its own cluster's boxes and shell, and nobody else", async () => {
    for (const own of ["c1b1", "c1b2", "c1s"]) for (const cache of ["c1v1", "c1v2"]) expect(await ask(own, cache), own).toBe("VERSION");
    expect(await ask(attacker, `${cluster}v1`)).toBe("VERSION");
    for (const foreign of [attacker, `${cluster}s`, `${cluster}v1`, "c1v2", "db1", EDGE])
      expect(await ask(foreign, CACHE), foreign).toBe("Connection refused");
    expect(await ask("c1b1", `${cluster}v1`)).toBe("Connection refused");
  });

  test("has its rules before it takes a connection", async () => {
    // Not by its agent, which would put them back.
    await mustInServer(CACHE, "systemctl", "stop", "boxyard-agent", "memcached");
    try {
      await mustInServer(CACHE, "nft", "delete", "table", "inet", "boxyard_memcached");
      await mustInServer(CACHE, "systemctl", "start", "memcached");
      await eventually("memcached to answer its own", async () => (await ask("c1b1", CACHE)) === "VERSION");
      expect(await ask(attacker, CACHE)).toBe("Connection refused");
    } finally {
      await mustInServer(CACHE, "systemctl", "start", "boxyard-agent");
    }
  });
});

test("links in directories that everybody may write to are protected, on the host and so in every server", async () => {
  for (const server of ["c1b1", "c1s", "git1"]) {
    for (const [name, wanted] of Object.entries(KERNEL_PROTECTIONS))
      expect(Number(await mustInServer(server, "cat", `/proc/sys/${name.replace(".", "/")}`)), name).toBeGreaterThanOrEqual(wanted);
  }
});

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { silentLog } from "#base/log.ts";
import type { Argv } from "#base/run.ts";
import { runBuild } from "#contract/actions/build.ts";
import { banPages } from "#contract/actions/cache.ts";
import { restoreDatabases, snapshotDatabases } from "#contract/actions/database.ts";
import { runHook } from "#contract/actions/hook.ts";
import type { Enrolment } from "#contract/enrolment.ts";
import type { ServerPlan, ServerSpec } from "#contract/spec/server.ts";
import { NO_SOURCES, USUAL_LIMITS } from "#contract/work-settings.ts";
import { planYard } from "#control/plan/plan.ts";
import type { PlannedServer, YardRows } from "#control/plan/rows.ts";
import { type MemoryBus, memoryBus } from "#fabric/memory/bus.ts";
import { commonGroup } from "./common.ts";
import type { Resource, ResourceGroup } from "./converge/resource.ts";
import { logGroup } from "./logs.ts";
import { boxGroups } from "./roles/box/role.ts";
import { gitGroups } from "./roles/git/role.ts";
import type { RoleContext } from "./roles/role.ts";
import { shellGroups } from "./roles/shell/role.ts";
import { roles } from "./roles.ts";

/** Commands are remembered, not run. */
const commands = vi.hoisted(() => [] as Argv[]);
vi.mock("#base/run.ts", async (original) => ({
  ...(await original<typeof import("#base/run.ts")>()),
  run: async (argv: Argv) => {
    commands.push(argv);
    return { exitCode: 0, stdout: "", stderr: "" };
  },
}));
vi.mock("./roles/cache/holds.ts");
vi.mock("./converge/configuration.ts", async (original) => described(await original(), ["configuration"]));
vi.mock("./converge/file.ts", async (original) => described(await original(), ["file", "directory"]));
vi.mock("./converge/mount.ts", async (original) => described(await original(), ["mountFlags", "mountFlagsSeenBy"]));
vi.mock("./converge/nft-table.ts", async (original) => described(await original(), ["nftTable"]));
vi.mock("./converge/unit.ts", async (original) => described(await original(), ["unit"]));
vi.mock("./converge/user.ts", async (original) => described(await original(), ["user", "member", "noUser"]));

/** Makers of resources whose resources have what is wanted beside them. */
const described = vi.hoisted(() => (original: object, makers: readonly string[]): object => {
  const found = original as Record<string, (...given: unknown[]) => object>;
  const describing =
    (name: string) =>
    (...given: unknown[]) => ({ ...found[name]?.(...given), want: given.at(-1) });
  return { ...original, ...Object.fromEntries(makers.map((name) => [name, describing(name)])) };
});

const RELEASE = "a".repeat(40);
const server = (name: string, role: PlannedServer["roles"], cluster: string | null, host: number): PlannedServer => ({
  name,
  roles: role,
  cluster,
  address: `10.77.0.${host}`,
  state: "present",
  host_key: { privateKey: `host key of ${name}` },
  fence: null,
});
const site = (id: string, number: number): YardRows["websites"][number] => ({
  id,
  cluster: "c1",
  environment: "production",
  branch: "main",
  hash_salt: "salt",
  processing_units: 8,
  release: RELEASE,
  release_decision: 1,
  good_releases: [RELEASE],
  domains: [{ name: `www.${id}.test`, kind: "main", chain_pem: "chain", key_pem: "key" }],
  databases: [{ name: `db${number}`, password: "password" }],
  keys: [{ public_key: `ssh-ed25519 AAAA owner-of-${id}` }],
});
const rows: YardRows = {
  yard: "acme",
  servers: [
    server("control1", ["control"], null, 2),
    server("control2", ["control", "broker"], null, 3),
    server("edge1", ["edge"], null, 10),
    server("git1", ["git"], null, 11),
    server("database1", ["database"], null, 12),
    server("c1v1", ["cache"], "c1", 13),
    server("c1s", ["shell"], "c1", 14),
    server("c1b1", ["box"], "c1", 15),
    server("s1x", ["builder"], "c1", 16),
  ],
  websites: [site("s1", 1), site("s2", 2)],
  policy: {},
  limits: USUAL_LIMITS,
  packages: { npmrc: "registry=https://npm.example/\n", authorities: "authority\n" },
  defaultCertificate: { chainPem: "chain", keyPem: "key" },
  brokers: ["tls://10.77.0.2:4222"],
  broker: {
    port: 4222,
    trust: { operatorJwt: "O", account: "A", accountJwt: "AJ", system: "S", systemJwt: "SJ" },
    cluster: { name: "acme", port: 6222, password: "password", members: [{ name: "control1", address: "10.77.0.2" }] },
  },
};

let bus: MemoryBus;
beforeEach(() => {
  bus = memoryBus();
  commands.length = 0;
});
const stops: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop();
});

function planOf(name: string, of: YardRows = rows): ServerSpec {
  const plan = planYard(of).find(({ server: planned }) => planned === name) as ServerPlan;
  return { ...plan, generation: 1 };
}

/** Starts the role on a server of the yard. */
async function start(name: string, role: keyof typeof roles, { isConverged = true, of = rows } = {}) {
  const spec = planOf(name, of);
  const context: RoleContext = {
    enrolment: { yard: "acme", server: name, caPem: "authority\n", certificatePem: "certificate\n", keyPem: "key\n" } as Enrolment,
    fabric: bus.joinAsServer(name),
    log: silentLog(),
    nudge: () => undefined,
    beat: () => undefined,
    currentSpec: () => spec,
    isConfirmed: () => true,
    isConverged: () => isConverged,
  };
  const started = await (await roles[role]())(context);
  stops.push(() => started.stop());
  return { spec, groups: () => started.groups(spec.roles[role] as never, spec) };
}

const named = (id: string): Resource => ({ id, mismatch: async () => null, apply: async () => undefined });
/** Stand for parts of roles that only name their resources here. */
const parts = {
  releases: {} as Parameters<typeof shellGroups>[1]["releases"],
  caPem: "authority\n",
  sockets: {
    socket: (id: string, uid: number) => named(`socket ${id} ${uid}`),
    noOthers: (ids: Set<string>) => named(`no sockets but ${[...ids]}`),
  },
  service: { listening: (port: number) => named(`pack service on ${port}`) },
} as const;

/** The groups of resources of each role on its server. */
const made: { readonly [R in keyof typeof roles]: () => Promise<ResourceGroup[]> } = {
  control: async () => (await start("control1", "control")).groups(),
  edge: async () => (await start("edge1", "edge")).groups(),
  cache: async () => (await start("c1v1", "cache")).groups(),
  database: async () => (await start("database1", "database")).groups(),
  builder: async () => (await start("s1x", "builder")).groups(),
  broker: async () => (await start("control2", "broker")).groups(),
  box: async () => boxGroups(given("c1b1", "box"), { server: { server: "c1b1" }, releases: parts.releases, caPem: parts.caPem }),
  shell: async () => shellGroups(given("c1s", "shell"), { releases: parts.releases, caPem: parts.caPem }),
  git: async () => gitGroups(given("git1", "git"), parts as unknown as Parameters<typeof gitGroups>[1]),
};

function given<R extends keyof typeof roles>(name: string, role: R): NonNullable<ServerSpec["roles"][R]> {
  return planOf(name).roles[role] as NonNullable<ServerSpec["roles"][R]>;
}

/** Each group with its resources in order, and with the content of files, but for those that a golden file of their own shows. */
function render(groups: readonly ResourceGroup[], isShown: (path: string) => boolean = () => false): string {
  const describeAll = (resources: readonly Resource[]): string => resources.map((one) => `  ${describeResource(one, isShown)}\n`).join("");
  return groups.map(({ name, resources }) => `${name}\n${describeAll(resources)}`).join("");
}

function describeResource(resource: Resource, isShown: (path: string) => boolean): string {
  const { id } = resource;
  const { want } = resource as { readonly want?: WantedFile & { readonly files?: readonly WantedFile[] } };
  if (typeof want !== "object") return id;
  const { files = [], ...rest } = want;
  const lines = (file: WantedFile): string[] => {
    const { path = "", content } = file;
    if (content === undefined || isShown(path)) return [];
    const shown = anywhere(content).replace(/\n$/, "").split("\n");
    return [...shown.map((line) => `      | ${line}`.trimEnd()), ...(content.endsWith("\n") ? [] : ["      (its last line has no end)"])];
  };
  return [`${id} ${textOf(rest, id)}`, ...lines(rest), ...files.flatMap((file) => [`    ${textOf(file, id)}`, ...lines(file)])].join("\n");
}

interface WantedFile {
  readonly path?: string;
  readonly content?: string;
}

/**
 * Whether a golden file of the role, or of what roles share, shows the file with this path: as one of the files that it names in its
 * headings (`goldenText`), or by its own path, which is the file's or the end of it. The second website's are like the first one's.
 */
function shownFiles(role: string): (path: string) => boolean {
  const folders = [`roles/${role}/golden`, "website/snippets/golden", "../fabric/golden"].map((path) => join(import.meta.dirname, path));
  const paths = folders.flatMap((folder) => goldenFiles(folder).flatMap((name) => pathsShownBy(folder, name)));
  return (path) => paths.some((shown) => path.replaceAll(/\bs2\b/g, "s1").endsWith(`/${shown}`));
}

function goldenFiles(folder: string): string[] {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return entries.map(({ parentPath, name }) => join(parentPath, name).slice(folder.length + 1)).filter((path) => path !== "resources");
}

function pathsShownBy(folder: string, name: string): string[] {
  const headings = [...readFileSync(join(folder, name), "utf8").matchAll(/^──── \/(\S+) /gm)].map(([, path = ""]) => path);
  return headings.length === 0 ? [name] : headings;
}

function textOf(want: unknown, id: string): string {
  const text = JSON.stringify(want, (key, value) => {
    if (key === "content") return undefined;
    if (key === "mode") return (value as number).toString(8);
    if (key === "id" && value === id.replace(/^configuration /, "")) return undefined;
    return value instanceof RegExp ? String(value) : value;
  });
  return anywhere(text.replaceAll('"', ""));
}

/** Paths of this checkout as they are on a server. */
function anywhere(text: string): string {
  return text.replaceAll(import.meta.dirname.replace(/\/src\/agent$/, ""), "/opt/boxyard/current");
}

describe("the resources of a server", () => {
  test.each(Object.entries(made))("of role %s are those of its golden file, in its order", async (role, groups) => {
    await expect(render(await groups(), shownFiles(role))).toMatchFileSnapshot(`roles/${role}/golden/resources`);
  });

  test("of any role are also those of the golden file for all servers", async () => {
    const groups = [commonGroup({ caPem: "authority\n" } as Enrolment, planOf("c1v1")), logGroup()];
    await expect(render(groups)).toMatchFileSnapshot("golden/resources");
  });

  test("are shown with the content of their files, but for what another golden file shows", () => {
    const isShown = shownFiles("cache");
    expect(["/etc/varnish/boxyard.vcl", "/etc/memcached.conf", "/etc/other.vcl"].filter(isShown)).toEqual(["/etc/varnish/boxyard.vcl"]);
    // A heading's file, and not one that has the name of the golden file.
    expect(["/etc/ssh/sshd_config", "/etc/pam.d/sshd"].filter(shownFiles("shell"))).toEqual(["/etc/ssh/sshd_config"]);
  });

  test("of role control leave the broker of a second control server to the role broker", async () => {
    expect(render((await start("control2", "control")).groups())).not.toMatch(/nats-server|postgresql/);
  });

  test("of role builder have no authority of an operator's when no sources of packages are set", async () => {
    const authority = "{path:/usr/local/share/ca-certificates/operator.crt";
    expect(render((await start("s1x", "builder")).groups())).toContain(authority);
    expect(render((await start("s1x", "builder", { of: { ...rows, packages: NO_SOURCES } })).groups())).not.toContain(authority);
  });
});

describe("a request is refused", () => {
  const codeOf = async (asking: Promise<{ readonly fault?: { readonly code: string } | undefined }[]>) => (await asking)[0]?.fault?.code;

  test("when it is for databases that the server does not have", async () => {
    await start("database1", "database");
    const control = bus.joinAsControl();
    for (const action of [snapshotDatabases, restoreDatabases])
      expect(await codeOf(control.askAll(action, ["database1"], { databases: ["db1", "db9"], deployment: 1 }))).toBe("database.unknown");
  });

  test("when it is for a hook of a website that the server does not carry", async () => {
    await start("c1s", "shell");
    const control = bus.joinAsControl();
    const asked = { release: RELEASE, deployment: 1, hook: "update", after: null } as const;
    expect(await codeOf(control.askAll(runHook, ["c1s"], { website: "s9", ...asked }))).toBe("release.unknown-website");
    expect(await codeOf(control.askAll(runHook, ["c1s"], { website: "s2", ...asked }))).toBe("hook.not-staged");
  });

  test("when it is for a build of another website than the builder's, or comes before the builder has converged", async () => {
    await start("s1x", "builder", { isConverged: false });
    const control = bus.joinAsControl();
    const asked = { commit: RELEASE, after: null };
    expect(await codeOf(control.askAll(runBuild, ["s1x"], { website: "s1", ...asked }))).toBe("release.unknown-website");
    await start("s1x", "builder");
    expect(await codeOf(control.askAll(runBuild, ["s1x"], { website: "s2", ...asked }))).toBe("release.unknown-website");
  });
});

describe("a cache", () => {
  test("drops all pages of a website but those of the release to keep", async () => {
    await start("c1v1", "cache");
    const control = bus.joinAsControl();
    await control.askAll(banPages, ["c1v1"], { website: "s1", keep: null });
    await control.askAll(banPages, ["c1v1"], { website: "s1", keep: RELEASE });
    const ban = "varnishadm -t 5 -- ban obj.http.X-Boxyard-Site == s1";
    expect(commands.map((argv) => argv.join(" "))).toEqual([ban, `${ban} && obj.http.X-Boxyard-Release != ${RELEASE}`]);
  });
});

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { inServer } from "#harness/servers.ts";
import { eventually } from "#harness/yard.ts";

/** What lies at a path: kind, owner, group, mode, content (a hash, or size and time for what is large or the packages'). */
type Entry = readonly [kind: number, uid: number, gid: number, mode: number, content: string];
export type Snapshot = ReadonlyMap<string, Entry>;

/** What may be different afterwards, because the platform works there meanwhile, or because it is the attacker's own. */
interface Exception {
  readonly path: RegExp;
  /** `all`; `content`: what it holds, while owner and mode stay; `coming`: whether it is there, while what stays is as it was. */
  readonly may: "all" | "content" | "coming" | "content and coming";
  /** Only as long as what lies there belongs to whom this path belongs. */
  readonly ownedLike?: string;
}

/** Trees whose content is none of ours: what the kernel makes up, and a mount that a server can only read, with a third of all its files. */
const LEFT_OUT = ["/proc", "/sys", "/dev", "/opt/boxyard", "/var/lib/lxcfs"];
const LOOKED_AT = ["/", "/dev/shm"];

/** Where everybody may put something, so that root must not trust a name there. */
const EVERYBODYS = /^\/(?:tmp|var\/tmp|dev\/shm|run\/lock)\//;

/**
 * Everything on a server but what is the attacker's own (`all`) and what the platform changes:
 * - the attacker's releases and repository come and go, and its `current` leads elsewhere with each deployment;
 * - agents keep their spec, begun hooks and what is active below /var/lib/boxyard, and say a box's health in /run/boxyard;
 * - logs, the packages' caches and systemd's own records grow, rotate and go;
 * - where everybody may put something, the attacker does; what belongs to anybody else there stays as it is.
 */
export function exceptionsFor(attacker: string): Exception[] {
  const [site, files] = [`/srv/sites/${attacker}`, `/srv/files/${attacker}`];
  return [
    { path: new RegExp(`^${site}/(?:home|tmp)(?:/|$)`), may: "all" },
    { path: new RegExp(`^${site}/repo\\.git/`), may: "all" },
    { path: new RegExp(`^${site}/(?:current|previous)(?:\\.|$)`), may: "content and coming" },
    { path: new RegExp(`^${site}/releases/`), may: "coming" },
    { path: new RegExp(`^${files}/(?:\\.seed-|\\.sessions/|private/|docroot/[^/]+/)`), may: "all" },
    { path: new RegExp(`^${files}/(?:docroot/[^/]+|private|\\.sessions)$`), may: "all" },
    { path: new RegExp(`^/var/spool/cron/crontabs/(?:${attacker}|tmp\\..*)$`), may: "all" },
    { path: EVERYBODYS, may: "all", ownedLike: `${site}/home` },
    { path: /^\/var\/lib\/boxyard\/(?:agent|hooks|activated)(?:\/|$)/, may: "content and coming" },
    { path: /^\/run\/boxyard\//, may: "content and coming" },
    { path: /^\/var\/(?:log|cache)\//, may: "content and coming" },
    { path: /^\/var\/lib\/(?:systemd|logrotate|mysql|php)\//, may: "content and coming" },
    ...WHILE_UNITS_RUN,
  ];
}

/** What systemd keeps below /run of units that begin and end: agents run what is a website's in units of their own, and timers run. */
const WHILE_UNITS_RUN: readonly Exception[] = [
  // Where the attacker's own program and its results lie: see attackers.ts.
  { path: /^\/run\/boxyard-attacker(?:\/|$)/, may: "content and coming" },
  // Units made by systemd-run, in a folder that the first of them makes; each unit's invocation and its mounts.
  { path: /^\/run\/systemd\/(?:transient$|(?:transient|units|propagate)\/)/, may: "content and coming" },
  // Credentials of a unit while it runs, and the private temporary folders of the timer's unit that has some.
  { path: /^\/run\/credentials\//, may: "coming" },
  { path: /^\/(?:var\/)?tmp\/systemd-private-[0-9a-f]{32}-logrotate\.service-/, may: "coming" },
  // What journald knows of who writes to it, and how much has been written.
  { path: /^\/run\/systemd\/journal\/(?:streams\/|seqnum$)/, may: "content and coming" },
];

export async function takeSnapshot(server: string): Promise<Snapshot> {
  const script = await readFile(join(import.meta.dirname, "snapshot.py"), "utf8");
  // On a busy machine the cloud's client ends before all is read.
  const stdout = await eventually(
    `a snapshot of ${server}`,
    async () => {
      const read = await inServer(server, ["python3", "-", LEFT_OUT.join(), LOOKED_AT.join()], script);
      return read.exitCode === 0 && read.stdout;
    },
    300_000,
  );
  return new Map(
    stdout.split("\n").flatMap((line) => {
      if (line === "") return [];
      const [path, ...entry] = JSON.parse(line) as [string, ...Entry];
      return [[path, entry]];
    }),
  );
}

/** What is not as it was, in words, without what may be so. */
export function differences(before: Snapshot, after: Snapshot, exceptions: readonly Exception[]): string[] {
  const paths = new Set([...before.keys(), ...after.keys()]);
  return [...paths].flatMap((path) => {
    const [was, is] = [before.get(path), after.get(path)];
    const allowed = exceptions.filter((one) => one.path.test(path) && isOwnedLike(before, one, [was, is])).map(({ may }) => may);
    if (allowed.includes("all")) return [];
    const mayCome = allowed.some((may) => may !== "content");
    if (was === undefined || is === undefined) return mayCome ? [] : [`${path} ${was === undefined ? "is new" : "is gone"}`];
    const mayHold = allowed.some((may) => may !== "coming");
    return changes(was, is, mayHold).map((change) => `${path} ${change}`);
  });
}

function isOwnedLike(before: Snapshot, { ownedLike }: Exception, entries: readonly (Entry | undefined)[]): boolean {
  if (ownedLike === undefined) return true;
  const owner = before.get(ownedLike)?.[1];
  return entries.every((entry) => entry === undefined || entry[1] === owner);
}

function changes(was: Entry, is: Entry, mayHold: boolean): string[] {
  const [kind, uid, gid, mode, content] = was;
  return [
    ...(is[1] === uid && is[2] === gid ? [] : [`belonged to ${uid}:${gid}, belongs to ${is[1]}:${is[2]}`]),
    ...(is[0] === kind && is[3] === mode ? [] : [`had mode ${mode.toString(8)}, has ${is[3].toString(8)}`]),
    ...(is[4] === content || mayHold ? [] : ["has other content"]),
  ];
}

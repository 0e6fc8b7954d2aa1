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
}

/** Trees whose content is none of ours: what the kernel makes up, and the mounts that servers only read. */
const LEFT_OUT = ["/proc", "/sys", "/dev", "/opt/boxyard", "/tmp", "/run", "/var/lib/lxcfs"];
const LOOKED_AT = ["/", "/run/boxyard"];

/**
 * Everything on a server but what is the attacker's own (`all`) and what the platform changes:
 * - the attacker's releases and repository come and go, and its `current` leads elsewhere with each deployment;
 * - agents keep their spec, begun hooks and what is active below /var/lib/boxyard, and say a box's health in /run/boxyard;
 * - logs, the packages' caches and systemd's own records grow, rotate and go.
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
    { path: /^\/var\/tmp\//, may: "all" },
    { path: /^\/var\/lib\/boxyard\/(?:agent|hooks|activated)(?:\/|$)/, may: "content and coming" },
    { path: /^\/run\/boxyard\//, may: "content and coming" },
    { path: /^\/var\/(?:log|cache)\//, may: "content and coming" },
    { path: /^\/var\/lib\/(?:systemd|logrotate|mysql|php)\//, may: "content and coming" },
  ];
}

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
    const allowed = exceptions.filter((exception) => exception.path.test(path)).map(({ may }) => may);
    if (allowed.includes("all")) return [];
    const [was, is] = [before.get(path), after.get(path)];
    const mayCome = allowed.some((may) => may !== "content");
    if (was === undefined || is === undefined) return mayCome ? [] : [`${path} ${was === undefined ? "is new" : "is gone"}`];
    const mayHold = allowed.some((may) => may !== "coming");
    return changes(was, is, mayHold).map((change) => `${path} ${change}`);
  });
}

function changes(was: Entry, is: Entry, mayHold: boolean): string[] {
  const [kind, uid, gid, mode, content] = was;
  return [
    ...(is[1] === uid && is[2] === gid ? [] : [`belonged to ${uid}:${gid}, belongs to ${is[1]}:${is[2]}`]),
    ...(is[0] === kind && is[3] === mode ? [] : [`had mode ${mode.toString(8)}, has ${is[3].toString(8)}`]),
    ...(is[4] === content || mayHold ? [] : ["has other content"]),
  ];
}

import { mkdir, readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { writeFileAtomic } from "#base/atomic-file.ts";
import { Fault } from "#base/fault.ts";
import { until } from "#base/retry.ts";
import { run } from "#base/run.ts";
import type { EdgeSpec } from "#contract/spec/edge.ts";
import type { Resource } from "../../converge/resource.ts";
import { systemctl } from "../../converge/unit.ts";
import { askHaproxy } from "./admin-socket.ts";
import { EDGE_PATHS, mapText } from "./config.ts";

const RELOAD_TIMEOUT_MS = 20_000;

/**
 * The process that answers is the one with this configuration. A reload returns before its new process has taken over, and
 * what the old one would be told in between would be lost.
 */
export function runningConfiguration(name: string): Resource {
  const ask = async (): Promise<string | null> => {
    const description = /^description: (.*)$/m.exec(await askHaproxy("show info"))?.[1];
    return description === name ? null : `runs as ${description ?? "another"}, not as ${name}`;
  };
  return {
    id: "haproxy's running configuration",
    mismatch: ask,
    apply: async (signal) => {
      const isNew = async (): Promise<true | null> => ((await ask()) === null ? true : null);
      const options = { everyMs: 50, signal };
      const isReloading = await until("HAProxy's new process", isNew, { ...options, timeoutMs: RELOAD_TIMEOUT_MS / 2 }).catch(() => null);
      if (isReloading !== null) return;
      await run(systemctl.act("reload-or-restart", "haproxy.service"));
      await until("HAProxy's new process", isNew, { ...options, timeoutMs: RELOAD_TIMEOUT_MS / 2 });
    },
  };
}

/** What an answer of the run-time API says when it has not done as told. */
const REFUSED = /unknown|can't|cannot|unable|error|invalid|not found|doesn't|fail/i;

/** A map that HAProxy holds as it should be, on disk (for its next start) and in the running process, without a reload. */
export function runTimeMap(path: string, want: ReadonlyMap<string, string>): Resource {
  return {
    id: `map ${path}`,
    mismatch: async () => {
      if ((await readFile(path, "utf8").catch(() => null)) !== mapText(want)) return "has other content on disk";
      const changes = planMap(want, await readMap(path));
      return changes.length === 0 ? null : `HAProxy lacks ${changes.length} changes`;
    },
    apply: async () => {
      await writeFileAtomic(path, mapText(want));
      for (const change of planMap(want, await readMap(path))) await tell(mapCommand(path, change));
    },
  };
}

export type MapChange =
  | { readonly verb: "add" | "set"; readonly key: string; readonly value: string }
  | { readonly verb: "del"; readonly key: string };

/** What is to be told to HAProxy so that it has the wanted map; what is new comes before what goes. */
export function planMap(want: ReadonlyMap<string, string>, have: ReadonlyMap<string, string>): MapChange[] {
  const changes: MapChange[] = [];
  for (const [key, value] of want) {
    if (!have.has(key)) changes.push({ verb: "add", key, value });
    else if (have.get(key) !== value) changes.push({ verb: "set", key, value });
  }
  for (const key of have.keys()) if (!want.has(key)) changes.push({ verb: "del", key });
  return changes;
}

/** The certificates of the edge, on disk and in the running process, without a reload. */
export function runTimeCertificates(want: EdgeSpec["certificates"]): Resource {
  const files = new Map(
    want.map(({ domain, chainPem, keyPem }) => [
      join(EDGE_PATHS.certificates, `${domain}.pem`),
      `${chainPem.trimEnd()}\n${keyPem.trimEnd()}\n`,
    ]),
  );
  return {
    id: "certificates",
    mismatch: async () => {
      const changes = await planCertificates(files);
      return changes.length === 0 ? null : `${changes.length} differ`;
    },
    apply: async () => {
      for (const { verb, path } of await planCertificates(files)) {
        if (verb === "remove") await removeCertificate(path);
        else await putCertificate(path, files.get(path) ?? "", verb === "add");
      }
      await writeFileAtomic(EDGE_PATHS.certificateList, certificateListText(files.keys()));
    },
  };
}

/** HAProxy's crt-list: one file a line, each for the names that it holds; the first is for names that no other holds. */
export function certificateListText(paths: Iterable<string>): string {
  return [EDGE_PATHS.defaultCertificate, ...paths].map((path) => `${path}\n`).join("");
}

interface CertificateChange {
  readonly verb: "add" | "replace" | "remove";
  readonly path: string;
}

async function planCertificates(want: ReadonlyMap<string, string>): Promise<CertificateChange[]> {
  const listed = new Set(
    (await askHaproxy(`show ssl crt-list ${EDGE_PATHS.certificateList}`))
      .split("\n")
      .map((line) => line.trim())
      .filter((line) => line.startsWith("/")),
  );
  const changes: CertificateChange[] = [];
  for (const [path, content] of want) {
    if (!listed.has(path)) changes.push({ verb: "add", path });
    else if ((await readFile(path, "utf8").catch(() => null)) !== content) changes.push({ verb: "replace", path });
  }
  const onDisk = (await readdir(EDGE_PATHS.certificates).catch(() => []))
    .filter((name) => name.endsWith(".pem"))
    .map((name) => join(EDGE_PATHS.certificates, name));
  for (const path of new Set([...listed, ...onDisk])) {
    if (!want.has(path) && path !== EDGE_PATHS.defaultCertificate) changes.push({ verb: "remove", path });
  }
  return changes;
}

/** The process first: a file that is on disk counts as being in use. */
async function putCertificate(path: string, content: string, isNew: boolean): Promise<void> {
  if (isRefusal(await askHaproxy(`show ssl cert ${path}`), path)) await tell(`new ssl cert ${path}`);
  await tell(`set ssl cert ${path}`, content);
  await tell(`commit ssl cert ${path}`);
  if (isNew) await tell(`add ssl crt-list ${EDGE_PATHS.certificateList} ${path}`);
  await mkdir(EDGE_PATHS.certificates, { recursive: true, mode: 0o700 });
  await writeFileAtomic(path, content, { mode: 0o600 });
}

async function removeCertificate(path: string): Promise<void> {
  await askHaproxy(`del ssl crt-list ${EDGE_PATHS.certificateList} ${path}`);
  await askHaproxy(`del ssl cert ${path}`);
  await rm(path, { force: true });
}

async function readMap(path: string): Promise<Map<string, string>> {
  const lines = (await askHaproxy(`show map ${path}`)).split("\n").filter((line) => line.startsWith("0x"));
  return new Map(lines.map((line) => line.split(" ")).map(([, key = "", value = ""]) => [key, value]));
}

function mapCommand(path: string, change: MapChange): string {
  return change.verb === "del" ? `del map ${path} ${change.key}` : `${change.verb} map ${path} ${change.key} ${change.value}`;
}

async function tell(command: string, payload?: string): Promise<void> {
  const answer = await askHaproxy(command, payload);
  if (isRefusal(answer, command)) throw new Fault("edge.refused", `HAProxy refuses “${command}”: ${answer}`);
}

/** Judged without the words of the command itself, which come back in answers: a domain may be called "failed.example". */
export function isRefusal(answer: string, command: string): boolean {
  const words = command.split(" ").filter((word) => word.includes(".") || word.startsWith("/"));
  return REFUSED.test(words.reduce((text, word) => text.replaceAll(word, ""), answer));
}

import { mkdir, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { z } from "zod";
import { Fault } from "#base/fault.ts";
import { type Argv, run } from "#base/run.ts";
import type { runHook } from "#contract/actions/hook.ts";
import type { CommitId, WebsiteId } from "#contract/names.ts";
import { readReleaseFile } from "../../website/releases/release-file.ts";
import type { WebsiteReleases } from "../../website/releases/website-releases.ts";
import { environmentFileOf } from "./environment.ts";

type Asked = z.output<typeof runHook.input>;
type Told = z.output<typeof runHook.output>;

/** A hook may work for so long. */
const LIMIT_SECONDS = 600;
/** What is told at once; the rest is told when control asks again. */
const MOST_LINES = 500;

/** Where is kept which hooks were begun: by website, one file a hook. */
const BEGUN = "/var/lib/boxyard/hooks";

/** What a removed website leaves here. */
export function begunHooks(website: WebsiteId): string {
  return join(BEGUN, website);
}

/**
 * Runs hooks as units of systemd, which outlive the agent: a hook runs once for a deployment, whoever asks how often, and
 * what it said and how it ended is there for whoever asks later.
 */
export class HookRunner {
  readonly #releases: Pick<WebsiteReleases, "paths">;
  /** Hooks that this process begins or has begun. */
  readonly #beginnings = new Map<string, Promise<void>>();

  constructor(releases: Pick<WebsiteReleases, "paths">) {
    this.#releases = releases;
  }

  /** Fault "hook.not-staged" or "hook.not-begun". */
  async run(asked: Asked): Promise<Told> {
    const { website, deployment, hook, after } = asked;
    const unit = `boxyard-hook-${website}-${deployment}-${hook}.service`;
    const beginning = this.#beginnings.get(unit) ?? this.#begin(unit, asked);
    this.#beginnings.set(unit, beginning);
    await beginning.catch((thrown: unknown) => {
      this.#beginnings.delete(unit);
      throw thrown;
    });
    const { state, exitStatus } = await readState(unit);
    // All that it said before it ended is to be there.
    if (state !== "running") await run(["journalctl", "--sync"]);
    const { lines, cursor } = await readOutput(unit, after);
    const isMore = lines.length === MOST_LINES;
    return { state: isMore ? "running" : state, exitStatus, lines, cursor };
  }

  async #begin(unit: string, { website, release, deployment, hook }: Asked): Promise<void> {
    const directory = this.#releases.paths(website).release(release);
    const staged = await readReleaseFile(directory);
    if (staged === null) throw new Fault("hook.not-staged", `release ${release} of ${website} is not staged on this server`);
    await mkdir(begunHooks(website), { recursive: true });
    const begun = join(begunHooks(website), `${deployment}-${hook}`);
    const isFirst = await writeFile(begun, "", { flag: "wx" }).then(
      () => true,
      () => false,
    );
    if (!isFirst) return;
    await forgetEarlier(website, deployment);
    await run(
      systemdRun(unit, { website, release, directory, home: `${this.#releases.paths(website).site}/home` }, staged.hooks[hook]),
    ).catch((cause: unknown) => {
      throw new Fault("hook.not-begun", `hooks.${hook} of ${website} could not be begun`, { cause });
    });
  }
}

interface Surroundings {
  readonly website: WebsiteId;
  readonly release: CommitId;
  readonly directory: string;
  readonly home: string;
}

/** See systemd-run(1) and systemd.exec(5). The unit stays when its process has ended, with how it did. */
function systemdRun(unit: string, { website, release, directory, home }: Surroundings, commands: readonly string[]): Argv {
  const properties = [
    "Type=exec",
    "RemainAfterExit=yes",
    `RuntimeMaxSec=${LIMIT_SECONDS}`,
    "TasksMax=512",
    `EnvironmentFile=${environmentFileOf(website)}`,
  ];
  return [
    "systemd-run",
    "--quiet",
    `--unit=${unit}`,
    `--uid=${website}`,
    `--gid=${website}`,
    `--working-directory=${directory}`,
    "--expand-environment=no",
    ...properties.map((property) => `--property=${property}`),
    ...[`HOME=${home}`, `USER=${website}`, "LANG=C.UTF-8", `BOXYARD_RELEASE=${release}`].map((one) => `--setenv=${one}`),
    "--",
    ...["/bin/bash", "-e", "-o", "pipefail", "-c", scriptOf(commands)],
  ];
}

/** Says each command before it runs it. */
function scriptOf(commands: readonly string[]): string {
  return commands.map((command) => `printf '%s\\n' ${quote(`$ ${command}`)}\n${command}`).join("\n");
}

function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

async function readState(unit: string): Promise<Pick<Told, "state" | "exitStatus">> {
  const { stdout } = await run([
    "systemctl",
    "show",
    "--property=LoadState,ActiveState,SubState,Result,ExecMainCode,ExecMainStatus",
    "--",
    unit,
  ]);
  const read = (name: string): string => new RegExp(`^${name}=(.*)$`, "m").exec(stdout)?.[1] ?? "";
  if (read("LoadState") !== "loaded") return { state: "lost", exitStatus: null };
  if (read("SubState") === "exited") return { state: "done", exitStatus: 0 };
  if (read("ActiveState") !== "failed") return { state: "running", exitStatus: null };
  if (read("Result") === "timeout") return { state: "timed-out", exitStatus: null };
  // 1 is CLD_EXITED of wait(2).
  return { state: "failed", exitStatus: read("ExecMainCode") === "1" ? Number(read("ExecMainStatus")) : null };
}

async function readOutput(unit: string, after: string | null): Promise<Pick<Told, "lines" | "cursor">> {
  const matches = [`_SYSTEMD_UNIT=${unit}`, "_TRANSPORT=stdout"];
  const from = after === null ? [] : [`--after-cursor=${after}`];
  const { stdout } = await run([
    "journalctl",
    "--no-pager",
    "--quiet",
    "--output=cat",
    `--lines=+${MOST_LINES}`,
    "--show-cursor",
    ...from,
    ...matches,
  ]);
  const lines = stdout.split("\n").slice(0, -1);
  // What the hook says may look like it, but never stands last.
  const cursor = /^-- cursor: (.+)$/.exec(lines.pop() ?? "")?.[1];
  return { lines, cursor: cursor ?? after };
}

/** Only the newest deployment's hooks are asked for. */
async function forgetEarlier(website: WebsiteId, deployment: number): Promise<void> {
  for (const name of await readdir(begunHooks(website))) {
    if (Number.parseInt(name, 10) >= deployment) continue;
    const unit = `boxyard-hook-${website}-${name}.service`;
    await run(["systemctl", "stop", "--", unit], { acceptExitCodes: [0, 5] });
    await run(["systemctl", "reset-failed", "--", unit], { acceptExitCodes: [0, 1] });
    await rm(join(begunHooks(website), name), { force: true });
  }
}

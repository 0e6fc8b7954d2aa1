import { chmod, chown, mkdir, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { z } from "zod";
import { Fault } from "#base/fault.ts";
import type { endHook, runHook } from "#contract/actions/hook.ts";
import type { WebsiteId } from "#contract/names.ts";
import type { ShellSpec } from "#contract/spec/shell.ts";
import { secondsFor, USUAL_LIMITS, type WorkLimits } from "#contract/work-settings.ts";
import { accountIds } from "../../converge/accounts.ts";
import { masking } from "../../secrets-in-output.ts";
import { beginUnit, forgetUnit, readUnit, readUnitOutput, runScript, shellScript, syncJournal } from "../../transient-unit.ts";
import { readReleaseFile } from "../../website/releases/release-file.ts";
import type { WebsiteReleases } from "../../website/releases/website-releases.ts";
import { environmentFileOf } from "./environment.ts";
import { keepOutput } from "./hook-log.ts";

type Asked = z.output<typeof runHook.input>;
type Told = z.output<typeof runHook.output>;

/** What is told at once; the rest is told when control asks again. */
const MOST_LINES = 500;

/** Of so many deployments it is kept what their hooks have said. */
const KEPT_OUTPUTS = 10;

/** Where is kept which hooks were begun: by website, one file a hook, which is its script. */
const BEGUN = "/var/lib/boxyard/hooks";

/** What a removed website leaves here. */
export function begunHooks(website: WebsiteId): string {
  return join(BEGUN, website);
}

/**
 * Runs hooks as units of systemd, which outlive the agent: a hook runs once for a deployment, however often it is asked for, and
 * what it said and how it ended can be asked for later.
 */
export class HookRunner {
  readonly #releases: Pick<WebsiteReleases, "paths">;
  readonly #limits: () => WorkLimits;
  /** What of a website nobody is to read. */
  readonly #secrets: (website: WebsiteId) => readonly string[];
  /** Hooks that this process begins or has begun. */
  readonly #beginnings = new Map<string, Promise<void>>();

  constructor(releases: Pick<WebsiteReleases, "paths">, carried: () => ShellSpec | null) {
    this.#releases = releases;
    this.#limits = () => carried()?.limits ?? USUAL_LIMITS;
    this.#secrets = (id) => secretsOf(carried()?.websites.find((website) => website.id === id));
  }

  /** Fault "hook.not-staged" or "hook.not-begun". */
  async run(asked: Asked): Promise<Told> {
    const { after } = asked;
    const unit = unitOf(asked);
    const beginning = this.#beginnings.get(unit) ?? this.#begin(unit, asked);
    this.#beginnings.set(unit, beginning);
    await beginning.catch((thrown: unknown) => {
      this.#beginnings.delete(unit);
      throw thrown;
    });
    const { state, exitStatus } = await readUnit(unit);
    // All that it said before it ended is to be there.
    if (state !== "running") await syncJournal();
    const { lines: said, cursor } = await readUnitOutput(unit, { after, most: MOST_LINES });
    const lines = said.map(masking(this.#secrets(asked.website)));
    await keepOutput(outputFile(asked), { after, lines, cursor });
    const isMore = lines.length === MOST_LINES;
    return { state: isMore ? "running" : state, exitStatus, lines, cursor };
  }

  /** Nothing of the hook acts any more, nor ever will. Fault "hook.not-ended". */
  async end(asked: z.output<typeof endHook.input>): Promise<z.output<typeof endHook.output>> {
    const unit = unitOf(asked);
    await this.#beginnings.get(unit)?.catch(() => undefined);
    await noteBegun(asked, "");
    await forgetUnit(unit);
    const { state } = await readUnit(unit);
    if (state === "running") throw new Fault("hook.not-ended", `hooks.${asked.hook} of ${asked.website} goes on although it was ended`);
    return { ended: true };
  }

  async #begin(unit: string, { website, release, deployment, hook }: Asked): Promise<void> {
    const directory = this.#releases.paths(website).release(release);
    const staged = await readReleaseFile(directory);
    if (staged === null) throw new Fault("hook.not-staged", `release ${release} of ${website} is not staged on this server`);
    if (!(await noteBegun({ website, deployment, hook }, shellScript(staged.hooks[hook])))) return;
    await forgetEarlier(website, deployment);
    const home = `${this.#releases.paths(website).site}/home`;
    await beginUnit({
      name: unit,
      command: runScript(scriptFile({ website, deployment, hook })),
      limitSeconds: secondsFor("hookSeconds", staged.hookSeconds, this.#limits()),
      properties: ["TasksMax=512", "TimeoutStopSec=10", `EnvironmentFile=${environmentFileOf(website)}`],
      environment: [`HOME=${home}`, `USER=${website}`, "LANG=C.UTF-8", `BOXYARD_RELEASE=${release}`],
      user: website,
      directory,
    }).catch((cause: unknown) => {
      throw new Fault("hook.not-begun", `hooks.${hook} of ${website} could not be begun`, { cause });
    });
  }
}

/** All that a hook has said, below the website's directory of hooks. */
function outputFile({ website, deployment, hook }: Hook): string {
  return join(begunHooks(website), "output", `${deployment}-${hook}.log`);
}

function secretsOf(website: ShellSpec["websites"][number] | undefined): string[] {
  return website === undefined ? [] : [website.hashSalt, ...website.databases.map(({ password }) => password)];
}

type Hook = Pick<Asked, "website" | "deployment" | "hook">;

function unitOf({ website, deployment, hook }: Hook): string {
  return `boxyard-hook-${website}-${deployment}-${hook}.service`;
}

/** Also the note that the hook was begun. */
function scriptFile({ website, deployment, hook }: Hook): string {
  return join(begunHooks(website), `${deployment}-${hook}`);
}

/** This hook is not begun again after this; false when it was noted before. The website reads the script, its neighbours do not. */
async function noteBegun(hook: Hook, script: string): Promise<boolean> {
  const directory = begunHooks(hook.website);
  // A hook may be ended when its website is gone already.
  const { gid } = await accountIds(undefined, hook.website).catch(() => ({ gid: 0 }));
  await mkdir(directory, { recursive: true });
  await chown(directory, 0, gid);
  await chmod(directory, 0o710);
  const path = scriptFile(hook);
  const isFirst = await writeFile(path, script, { flag: "wx", mode: 0o640 }).then(
    () => true,
    async (thrown: NodeJS.ErrnoException) => {
      if (thrown.code === "EEXIST") return false;
      // A full disk keeps an empty file, which would say that the hook was begun.
      await rm(path, { force: true });
      throw thrown;
    },
  );
  if (isFirst) await chown(path, 0, gid);
  return isFirst;
}

/** Of earlier deployments only what still runs after them is asked for. */
async function forgetEarlier(website: WebsiteId, deployment: number): Promise<void> {
  for (const name of await readdir(begunHooks(website))) {
    if (!(Number.parseInt(name, 10) < deployment)) continue;
    const unit = `boxyard-hook-${website}-${name}.service`;
    // What runs after a deployment may go on while the next one comes.
    if (name.endsWith("-after") && (await readUnit(unit)).state === "running") continue;
    await forgetUnit(unit);
    await rm(join(begunHooks(website), name), { force: true });
  }
  await forgetOutputs(join(begunHooks(website), "output"));
}

/** What the newest deployments' hooks said stays. */
async function forgetOutputs(directory: string): Promise<void> {
  const names = await readdir(directory).catch(() => []);
  const kept = [...new Set(names.map((name) => Number.parseInt(name, 10)))].sort((a, b) => b - a).slice(0, KEPT_OUTPUTS);
  for (const name of names) if (!kept.includes(Number.parseInt(name, 10))) await rm(join(directory, name), { force: true });
}

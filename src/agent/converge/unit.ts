import { type Argv, run } from "#base/run.ts";
import type { Resource } from "./resource.ts";
import { isAtBoot, showUnit } from "./unit-state.ts";

export interface UnitWant {
  readonly unit: string;
  readonly running: boolean;
  readonly atBoot: boolean;
  /** False where others stop it for a time: it is started at the next regular turn only. */
  readonly isWatched?: boolean;
}

export interface UnitState {
  readonly running: boolean;
  readonly atBoot: boolean;
}

type BootVerb = "enable" | "disable";
export type UnitVerb = BootVerb | "start" | "stop";

/** systemctl's commands as data. */
export const systemctl = {
  act: (verb: "start" | "stop" | "reset-failed" | "restart" | "try-restart" | "reload" | "reload-or-restart", unit: string): Argv => [
    "systemctl",
    verb,
    "--",
    unit,
  ],
  /**
   * For the next boot only, and so without what takes a second of a processor: systemd need not read all units anew, and Debian's
   * links for init scripts, which systemd does not use, stay as they are.
   */
  atBoot: (verb: BootVerb | "reenable", unit: string): Argv => [
    "env",
    "SYSTEMCTL_SKIP_SYSV=1",
    "systemctl",
    "--no-reload",
    verb,
    "--",
    unit,
  ],
  daemonReload: (): Argv => ["systemctl", "daemon-reload"],
};

/** A systemd unit that runs, or does not. */
export function unit(want: UnitWant): Resource {
  return {
    id: `unit ${want.unit}`,
    ...(want.running && want.isWatched !== false ? { unit: want.unit } : {}),
    mismatch: async () => {
      const verbs = planUnit(want, await unitState(want.unit));
      return verbs.length === 0 ? null : `needs ${verbs.join(" and ")}`;
    },
    apply: async () => {
      for (const verb of planUnit(want, await unitState(want.unit))) await run(command(verb, want.unit), { timeoutMs: 120_000 });
    },
  };
}

/** What is to be done so that a unit in state `have` becomes as wanted. */
export function planUnit(want: UnitWant, have: UnitState): UnitVerb[] {
  const verbs: UnitVerb[] = [];
  if (want.atBoot !== have.atBoot) verbs.push(want.atBoot ? "enable" : "disable");
  if (want.running !== have.running) verbs.push(want.running ? "start" : "stop");
  return verbs;
}

function command(verb: UnitVerb, unit: string): Argv {
  return verb === "enable" || verb === "disable" ? systemctl.atBoot(verb, unit) : systemctl.act(verb, unit);
}

async function unitState(unit: string): Promise<UnitState> {
  const [{ running }, atBoot] = await Promise.all([showUnit(unit), isAtBoot(unit)]);
  return { running, atBoot };
}

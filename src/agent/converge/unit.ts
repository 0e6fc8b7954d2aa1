import { type Argv, run } from "#base/run.ts";
import type { Resource } from "./resource.ts";

export interface UnitWant {
  readonly unit: string;
  readonly running: boolean;
  readonly atBoot: boolean;
}

export interface UnitState {
  readonly running: boolean;
  readonly atBoot: boolean;
}

export type UnitVerb = "start" | "stop" | "enable" | "disable";

/** systemctl's commands as data. */
export const systemctl = {
  act: (verb: UnitVerb | "reenable" | "reset-failed" | "restart" | "try-restart" | "reload" | "reload-or-restart", unit: string): Argv => [
    "systemctl",
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
    mismatch: async () => {
      const verbs = planUnit(want, await unitState(want.unit));
      return verbs.length === 0 ? null : `needs ${verbs.join(" and ")}`;
    },
    apply: async () => {
      for (const verb of planUnit(want, await unitState(want.unit))) await run(systemctl.act(verb, want.unit), { timeoutMs: 120_000 });
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

async function unitState(unit: string): Promise<UnitState> {
  const { stdout } = await run(["systemctl", "show", "--property=ActiveState,UnitFileState", "--", unit]);
  return {
    running: /^ActiveState=(active|reloading|activating)$/m.test(stdout),
    atBoot: /^UnitFileState=(enabled|enabled-runtime|static|alias)$/m.test(stdout),
  };
}

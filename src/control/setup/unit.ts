import { run } from "#base/run.ts";

export const STOP_MS = 120_000;

export interface UnitState {
  readonly enabled: string;
  readonly active: string;
  /** Whether its files are newer than what systemd has read. */
  readonly isOutdated: boolean;
}

/** The unit runs now and at boot; when its files have changed it takes them up. */
export async function ensureUnit(
  unit: string,
  { hasChanged, takeUp }: { readonly hasChanged: boolean; readonly takeUp: "restart" | "reload-or-restart" },
): Promise<void> {
  const { enabled, isOutdated } = await unitState(unit);
  if (isOutdated) await run(["systemctl", "daemon-reload"]);
  if (enabled !== "enabled") await run(["systemctl", "enable", unit]);
  await run(["systemctl", hasChanged ? takeUp : "start", unit], { timeoutMs: STOP_MS });
}

/** What systemd knows of the unit. */
export async function unitState(unit: string): Promise<UnitState> {
  const { stdout } = await run(["systemctl", "show", "--property=UnitFileState,ActiveState,NeedDaemonReload", "--", unit]);
  const read = (property: string): string => new RegExp(`^${property}=(.*)$`, "m").exec(stdout)?.[1] ?? "";
  return { enabled: read("UnitFileState"), active: read("ActiveState"), isOutdated: read("NeedDaemonReload") === "yes" };
}

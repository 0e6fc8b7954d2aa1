import DataLoader from "dataloader";
import { run } from "#base/run.ts";

/** What systemd says of a unit at the moment. */
export interface ShownUnit {
  readonly running: boolean;
  /** Null when none runs. */
  readonly mainPid: number | null;
}

/** Whether a unit runs, and as which process. */
export function showUnit(unit: string): Promise<ShownUnit> {
  return shown.load(unit);
}

/** Whether a unit starts at boot. `is-enabled` looks at the disk; the property UnitFileState is as old as the last daemon-reload. */
export function isAtBoot(unit: string): Promise<boolean> {
  return enabled.load(unit);
}

/** Units that are asked for in the same moment are asked for in one process: to start it costs more than what it does. */
const shown = new DataLoader(showUnits, { cache: false });
const enabled = new DataLoader(areAtBoot, { cache: false });

async function showUnits(units: readonly string[]): Promise<ShownUnit[]> {
  const { stdout } = await run(["systemctl", "show", "--property=ActiveState,MainPID", "--", ...units]);
  const blocks = stdout.split("\n\n");
  return units.map((_, nth) => {
    const block = blocks[nth] ?? "";
    const pid = Number(/^MainPID=(\d+)$/m.exec(block)?.[1] ?? 0);
    return { running: /^ActiveState=(active|reloading|activating)$/m.test(block), mainPid: pid > 0 ? pid : null };
  });
}

async function areAtBoot(units: readonly string[]): Promise<boolean[]> {
  const { stdout } = await run(["systemctl", "is-enabled", "--", ...units], { acceptExitCodes: [0, DISABLED, NOT_FOUND] });
  const words = stdout.split("\n").filter(Boolean);
  // A unit that systemd cannot read ends the answer; the others are not to count as it does.
  if (words.length < units.length && units.length > 1) return (await Promise.all(units.map((unit) => areAtBoot([unit])))).flat();
  return units.map((_, nth) => ["enabled", "enabled-runtime", "static", "alias"].includes(words[nth] ?? ""));
}

/** What `systemctl is-enabled` exits with (systemctl(1), exit status). */
const DISABLED = 1;
const NOT_FOUND = 4;

import { quote } from "./boxfile-path.ts";
import type { MappingEntry, Place, Value } from "./boxfile-syntax.ts";

/** How a Boxfile of version 3 wants its releases deployed, as written. */
export interface ParsedDeploy {
  readonly hooks: { readonly update: readonly string[]; readonly after: readonly string[] };
  readonly snapshotsDatabases: boolean;
  readonly holdSeconds: number | null;
  /** Commands that make the release out of the commit, each to succeed before the next. */
  readonly build: readonly string[];
}

/** Takes a problem down. */
export type Refuse = (place: Place, message: string, mend: string) => void;

/** Nothing is declared: no hooks, and nobody waits. */
export const PLAIN_DEPLOY: ParsedDeploy = { hooks: { update: [], after: [] }, snapshotsDatabases: false, holdSeconds: null, build: [] };

/** Visitors do not wait for longer: edges and browsers would give up. */
export const MOST_HOLD_SECONDS = 60;

const HOOK_KEYS = ["update", "after", "snapshot"] as const;
const DEPLOY_KEYS = ["mode", "seconds"] as const;
const COMMANDS_LIMIT = 20;
const COMMAND_LIMIT = 4_000;

/** Reads the keys `build`, `hooks` and `deploy`. */
export function readDeploy(entries: ReadonlyMap<string, MappingEntry>, refuse: Refuse): ParsedDeploy {
  return {
    ...readHooks(entries.get("hooks"), refuse),
    holdSeconds: readHold(entries.get("deploy"), refuse),
    build: readCommands(entries.get("build"), refuse),
  };
}

function readHooks(entry: MappingEntry | undefined, refuse: Refuse): Pick<ParsedDeploy, "hooks" | "snapshotsDatabases"> {
  if (entry === undefined || entry.value.kind === "nothing") return PLAIN_DEPLOY;
  if (entry.value.kind !== "mapping") {
    refuse(entry.place, "hooks must be a mapping", "write “  update: <command>” below it");
    return PLAIN_DEPLOY;
  }
  const given = new Map(entry.value.entries.map((hook) => [hook.key, hook]));
  for (const { key, place } of given.values())
    if (!HOOK_KEYS.some((known) => known === key))
      refuse(place, `unknown hook ${quote(key)}`, "the hooks are update and after; beside them stands snapshot");
  const hooks = { update: readCommands(given.get("update"), refuse), after: readCommands(given.get("after"), refuse) };
  return { hooks, snapshotsDatabases: readSnapshot(given.get("snapshot"), hooks.update.length > 0, refuse) };
}

function readSnapshot(entry: MappingEntry | undefined, hasUpdate: boolean, refuse: Refuse): boolean {
  if (entry === undefined || entry.value.kind === "nothing") return false;
  if (entry.value.kind !== "text" || entry.value.text !== "database")
    refuse(entry.value.place, "only databases can be kept as they are", "write “snapshot: database”, or remove this line");
  else if (!hasUpdate) refuse(entry.place, "there is no update that a snapshot would undo", "add “update: <command>”, or remove this line");
  return true;
}

/** One command, or a list of them. */
function readCommands(entry: MappingEntry | undefined, refuse: Refuse): string[] {
  if (entry === undefined || entry.value.kind === "nothing") return [];
  const items = entry.value.kind === "list" ? entry.value.items : [entry.value];
  if (items.length > COMMANDS_LIMIT) {
    refuse(entry.place, `${entry.key} has ${items.length} commands`, `name at most ${COMMANDS_LIMIT}, or put them into a script`);
    return [];
  }
  return items.flatMap((item) => readCommand(item, refuse));
}

function readCommand(value: Value, refuse: Refuse): string[] {
  if (value.kind !== "text" || value.text.trim() === "") {
    refuse(value.place, "here must be a command", "write it as plain text, for example “composer install --no-dev”");
    return [];
  }
  if (value.text.length <= COMMAND_LIMIT && !value.text.includes("\0")) return [value.text];
  refuse(value.place, "this command is too long", "put it into a script of the repository and name that");
  return [];
}

/** `deploy: hold`, or a mapping with the longest time that a visitor is to wait. */
function readHold(entry: MappingEntry | undefined, refuse: Refuse): number | null {
  if (entry === undefined || entry.value.kind === "nothing") return null;
  if (entry.value.kind !== "mapping") return readMode(entry.value, refuse) ? MOST_HOLD_SECONDS : null;
  const given = new Map(entry.value.entries.map((one) => [one.key, one]));
  for (const { key, place } of given.values())
    if (!DEPLOY_KEYS.some((known) => known === key))
      refuse(place, `unknown key ${quote(key)}`, `the keys are ${DEPLOY_KEYS.join(" and ")}`);
  const mode = given.get("mode");
  if (mode === undefined) refuse(entry.place, "deploy has no mode", "add “mode: hold” below it");
  const isHeld = mode !== undefined && readMode(mode.value, refuse);
  const seconds = readSeconds(given.get("seconds"), refuse);
  return isHeld ? seconds : null;
}

function readMode(value: Value, refuse: Refuse): boolean {
  const mode = value.kind === "text" ? value.text : "";
  if (mode !== "hold" && mode !== "rolling")
    refuse(value.place, `unknown way to deploy ${quote(mode)}`, "write “deploy: rolling” or “deploy: hold”");
  return mode === "hold";
}

function readSeconds(entry: MappingEntry | undefined, refuse: Refuse): number {
  if (entry === undefined || entry.value.kind === "nothing") return MOST_HOLD_SECONDS;
  const text = entry.value.kind === "text" ? entry.value.text : "";
  const seconds = /^\d{1,3}$/.test(text) ? Number(text) : 0;
  if (seconds < 1 || seconds > MOST_HOLD_SECONDS)
    refuse(entry.value.place, "seconds must be a whole number", `write one from 1 to ${MOST_HOLD_SECONDS}`);
  return seconds;
}

import { z } from "zod";
import { quote } from "./boxfile-path.ts";
import type { MappingEntry, Place, Value } from "./boxfile-syntax.ts";
import type { WorkLimits } from "./work-settings.ts";

/** How a Boxfile of version 3 wants its releases deployed, as written. */
export interface ParsedDeploy {
  readonly hooks: { readonly update: readonly string[]; readonly after: readonly string[] };
  /** How long each hook may take; null when nothing is said. */
  readonly hookSeconds: number | null;
  readonly snapshotsDatabases: boolean;
  readonly holdSeconds: number | null;
  /** Commands that make the release out of the commit, each to succeed before the next. */
  readonly build: readonly string[];
  /** How long they may take, all together; null when nothing is said. */
  readonly buildSeconds: number | null;
}

/** The longest times that a Boxfile may ask for. */
export type LongestSeconds = Pick<WorkLimits, "buildSeconds" | "hookSeconds">;

/** Takes a problem down. */
export type Refuse = (place: Place, message: string, mend: string) => void;

/** Nothing is declared: no hooks, and nobody waits. */
export const PLAIN_DEPLOY: ParsedDeploy = {
  hooks: { update: [], after: [] },
  hookSeconds: null,
  snapshotsDatabases: false,
  holdSeconds: null,
  build: [],
  buildSeconds: null,
};

/** Visitors do not wait for longer: edges and browsers would give up. */
export const MOST_HOLD_SECONDS = 60;
/** How long a visitor's request may wait in hold mode. */
export const HoldSeconds = z.int().min(1).max(MOST_HOLD_SECONDS);

const HOOK_KEYS = ["update", "after", "snapshot", "seconds"] as const;
const BUILD_KEYS = ["commands", "seconds"] as const;
const DEPLOY_KEYS = ["mode", "seconds"] as const;
const COMMANDS_LIMIT = 20;
const COMMAND_LIMIT = 4_000;

/** Reads the keys `build`, `hooks` and `deploy`. */
export function readDeploy(entries: ReadonlyMap<string, MappingEntry>, longest: LongestSeconds, refuse: Refuse): ParsedDeploy {
  return {
    ...readHooks(entries.get("hooks"), longest.hookSeconds, refuse),
    holdSeconds: readHold(entries.get("deploy"), refuse),
    ...readBuild(entries.get("build"), longest.buildSeconds, refuse),
  };
}

/** Commands, or a mapping of them and the time that they may take. */
function readBuild(entry: MappingEntry | undefined, longest: number, refuse: Refuse): Pick<ParsedDeploy, "build" | "buildSeconds"> {
  if (entry?.value.kind !== "mapping") return { build: readCommands(entry, refuse), buildSeconds: null };
  const given = new Map(entry.value.entries.map((one) => [one.key, one]));
  for (const { key, place } of given.values())
    if (!BUILD_KEYS.some((known) => known === key)) refuse(place, `unknown key ${quote(key)}`, `the keys are ${BUILD_KEYS.join(" and ")}`);
  const build = readCommands(given.get("commands"), refuse);
  if (!given.has("commands")) refuse(entry.place, "build has no commands", "add “commands: <command>” below it");
  return { build, buildSeconds: readSeconds(given.get("seconds"), longest, refuse) };
}

type ParsedHooks = Pick<ParsedDeploy, "hooks" | "hookSeconds" | "snapshotsDatabases">;

function readHooks(entry: MappingEntry | undefined, longest: number, refuse: Refuse): ParsedHooks {
  if (entry === undefined || entry.value.kind === "nothing") return PLAIN_DEPLOY;
  if (entry.value.kind !== "mapping") {
    refuse(entry.place, "hooks must be a mapping", "write “  update: <command>” below it");
    return PLAIN_DEPLOY;
  }
  const given = new Map(entry.value.entries.map((hook) => [hook.key, hook]));
  for (const { key, place } of given.values())
    if (!HOOK_KEYS.some((known) => known === key))
      refuse(place, `unknown hook ${quote(key)}`, "the hooks are update and after; beside them stand snapshot and seconds");
  const hooks = { update: readCommands(given.get("update"), refuse), after: readCommands(given.get("after"), refuse) };
  const snapshotsDatabases = readSnapshot(given.get("snapshot"), hooks.update.length > 0, refuse);
  return { hooks, hookSeconds: readSeconds(given.get("seconds"), longest, refuse), snapshotsDatabases };
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
  const seconds = readSeconds(given.get("seconds"), MOST_HOLD_SECONDS, refuse) ?? MOST_HOLD_SECONDS;
  return isHeld ? seconds : null;
}

function readMode(value: Value, refuse: Refuse): boolean {
  const mode = value.kind === "text" ? value.text : "";
  if (mode !== "hold" && mode !== "rolling")
    refuse(value.place, `unknown way to deploy ${quote(mode)}`, "write “deploy: rolling” or “deploy: hold”");
  return mode === "hold";
}

/** Null when nothing is said. */
function readSeconds(entry: MappingEntry | undefined, longest: number, refuse: Refuse): number | null {
  if (entry === undefined || entry.value.kind === "nothing") return null;
  const text = entry.value.kind === "text" ? entry.value.text : "";
  const seconds = /^\d{1,6}$/.test(text) ? Number(text) : 0;
  if (seconds < 1 || seconds > longest) refuse(entry.value.place, "seconds must be a whole number", `write one from 1 to ${longest}`);
  return seconds;
}

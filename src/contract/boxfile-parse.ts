import { type LongestSeconds, type ParsedDeploy, PLAIN_DEPLOY, type Refuse, readDeploy } from "./boxfile-deploy.ts";
import { quote, resolvePath } from "./boxfile-path.ts";
import { type BoxfileProblem, type MappingEntry, type Place, readSyntax, type Value } from "./boxfile-syntax.ts";
import { EnvironmentLabel } from "./names.ts";
import { parentOf } from "./repository-tree.ts";

/** A path from the repository root and where the Boxfile says so. */
export interface PlacedPath {
  readonly path: string;
  readonly place: Place;
}

export interface ParsedEnvSpecificFile extends PlacedPath {
  readonly targets: readonly (PlacedPath & { readonly label: string })[];
}

/** A Boxfile as written, before it is held against its commit; complete only when there are no problems. */
export interface ParsedBoxfile extends ParsedDeploy {
  readonly version: "1.0" | "2.0" | "3";
  readonly sharedFolders: readonly PlacedPath[];
  readonly envSpecificFiles: readonly ParsedEnvSpecificFile[];
  readonly problems: readonly BoxfileProblem[];
}

export interface ParseOptions {
  /** The environment label that every environment-specific file must name. */
  readonly label: string;
  /** Where the paths of version 1.0 start; "" is the repository root. */
  readonly docroot: string;
  /** The longest times that it may ask for. */
  readonly longest: LongestSeconds;
}

const KEYS = ["version", "shared_folders", "env_specific_files"] as const;
const VERSION_3_KEYS = [...KEYS, "build", "hooks", "deploy"] as const;
const LATER_KEYS = ["app", "docroot", "php", "cron", "workers", "health"];
const ENTRIES_LIMIT = 200;
const NOTHING_DECLARED = { sharedFolders: [], envSpecificFiles: [], ...PLAIN_DEPLOY };

/** Reads a Boxfile's text: hostile in, typed out, with every problem that can be told without the commit. Never throws. */
export function parseBoxfile(content: Uint8Array | string, options: ParseOptions): ParsedBoxfile {
  const { value, problems } = readSyntax(content);
  if (problems.length > 0) return { version: "2.0", ...NOTHING_DECLARED, problems };
  return new Parser(options).parse(value);
}

class Parser {
  readonly #label: string;
  readonly #docroot: string;
  readonly #longest: LongestSeconds;
  readonly #problems: BoxfileProblem[] = [];
  #start = "";

  constructor({ label, docroot, longest }: ParseOptions) {
    this.#label = label;
    this.#docroot = docroot;
    this.#longest = longest;
  }

  parse(value: Value): ParsedBoxfile {
    const entries = this.#topEntries(value);
    const version = this.#version(entries.get("version"), value);
    for (const { key, place } of entries.values()) this.#checkKey(key, place, version);
    this.#start = version === "1.0" ? this.#docroot : "";
    const sharedFolders = this.#sharedFolders(entries.get("shared_folders"));
    const envSpecificFiles = this.#envSpecificFiles(entries.get("env_specific_files"));
    const refuse: Refuse = (...problem) => this.#refuse(...problem);
    const deploy = version === "3" ? readDeploy(entries, this.#longest, refuse) : PLAIN_DEPLOY;
    return { version: version ?? "2.0", sharedFolders, envSpecificFiles, ...deploy, problems: this.#problems };
  }

  #topEntries(value: Value): Map<string, MappingEntry> {
    if (value.kind !== "mapping") {
      if (value.kind !== "nothing") this.#refuse(value.place, "a Boxfile is a mapping of keys", "begin with “version: 2.0”");
      return new Map();
    }
    return new Map(value.entries.map((entry) => [entry.key, entry]));
  }

  #checkKey(key: string, place: Place, version: ParsedBoxfile["version"] | null): void {
    const keys: readonly string[] = version === "3" ? VERSION_3_KEYS : KEYS;
    const near = keys.find((known) => distance(known, key.toLowerCase()) <= 3);
    if (keys.includes(key)) return;
    if (LATER_KEYS.includes(key)) this.#refuse(place, `“${key}” is not supported yet`, "remove it");
    else if (VERSION_3_KEYS.some((known) => known === key)) this.#refuse(place, `“${key}” belongs to version 3`, "begin with “version: 3”");
    else
      this.#refuse(place, `unknown key ${quote(key)}`, near === undefined ? `the keys are ${keys.join(", ")}` : `did you mean “${near}”?`);
  }

  #version(entry: MappingEntry | undefined, top: Value): ParsedBoxfile["version"] | null {
    if (entry === undefined) {
      if (top.kind !== "text" && top.kind !== "list")
        this.#refuse({ line: 1, column: 1 }, "version is missing", "add the line “version: 2.0”");
      return null;
    }
    const written = entry.value.kind === "text" ? entry.value.text : "";
    if (/^1(\.0)?$/.test(written)) return "1.0";
    if (/^2(\.0)?$/.test(written)) return "2.0";
    if (/^3(\.0)?$/.test(written)) return "3";
    const place = entry.value.kind === "nothing" ? entry.place : entry.value.place;
    this.#refuse(place, `unknown version ${quote(written)}`, "use “version: 2.0” or “version: 3”");
    return null;
  }

  #sharedFolders(entry: MappingEntry | undefined): PlacedPath[] {
    if (entry === undefined || entry.value.kind === "nothing") return [];
    if (entry.value.kind !== "list") {
      this.#refuse(entry.place, "shared_folders must be a list of paths", "write each path on a line of its own, as “  - docroot/files”");
      return [];
    }
    return this.#limited(entry, entry.value.items).flatMap((item) => this.#path(item, this.#start));
  }

  #envSpecificFiles(entry: MappingEntry | undefined): ParsedEnvSpecificFile[] {
    if (entry === undefined || entry.value.kind === "nothing") return [];
    if (entry.value.kind !== "mapping") {
      const mend = "write “  docroot/.htaccess:” and below it “    production: .htaccess.production”";
      this.#refuse(entry.place, "env_specific_files must be a mapping of paths", mend);
      return [];
    }
    return this.#limited(entry, entry.value.entries).flatMap((file) => this.#envSpecificFile(file));
  }

  #envSpecificFile({ key, place, value }: MappingEntry): ParsedEnvSpecificFile[] {
    const link = resolvePath(this.#start, key);
    if ("message" in link) {
      this.#refuse(place, link.message, link.mend);
      return [];
    }
    if (value.kind !== "mapping") {
      this.#refuse(place, `${quote(key)} must be a mapping of environment labels to files`, `write “    ${this.#label}: <file>” below it`);
      return [];
    }
    const targets = value.entries.flatMap((entry) => this.#target(entry, parentOf(link.path)));
    if (!value.entries.some((entry) => entry.key === this.#label))
      this.#refuse(place, `${quote(key)} has no file for the environment “${this.#label}”`, `add “${this.#label}: <file>” below it`);
    return [{ path: link.path, place, targets }];
  }

  #target({ key, place, value }: MappingEntry, folder: string): (PlacedPath & { label: string })[] {
    const label = EnvironmentLabel.safeParse(key);
    if (!label.success) {
      this.#refuse(place, `${quote(key)} is no environment label`, label.error.issues[0]?.message ?? "use a lower-case word");
      return [];
    }
    return this.#path(value, folder).map((target) => ({ ...target, label: label.data }));
  }

  #path(value: Value, folder: string): PlacedPath[] {
    if (value.kind === "nothing") this.#refuse(value.place, "the path is empty", "name a path, or remove this line");
    else if (value.kind !== "text") this.#refuse(value.place, "here must be one path", "write it as plain text");
    else if (!value.isQuotedOrWord)
      this.#refuse(value.place, `${quote(value.text)} is not text`, `if it is a path, write "${value.text}" in quotation marks`);
    else {
      const verdict = resolvePath(folder, value.text);
      if ("path" in verdict) return [{ path: verdict.path, place: value.place }];
      this.#refuse(value.place, verdict.message, verdict.mend);
    }
    return [];
  }

  #limited<T>(entry: MappingEntry, items: readonly T[]): readonly T[] {
    if (items.length <= ENTRIES_LIMIT) return items;
    this.#refuse(entry.place, `${entry.key} has ${items.length} entries`, `name at most ${ENTRIES_LIMIT}`);
    return [];
  }

  #refuse(place: Place, message: string, mend: string): void {
    this.#problems.push({ ...place, message, mend });
  }
}

/** Levenshtein's distance of two short words. */
function distance(a: string, b: string): number {
  if (Math.abs(a.length - b.length) > 3) return 4;
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (const [i, letter] of [...a].entries()) {
    const next = [i + 1];
    for (let j = 0; j < b.length; j++)
      next.push(Math.min((row[j] ?? 0) + (b[j] === letter ? 0 : 1), (row[j + 1] ?? 0) + 1, (next[j] ?? 0) + 1));
    row = next;
  }
  return row[b.length] ?? 4;
}

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { inServer, mustInServer } from "#harness/servers.ts";

/** Where the program and what it says lie: root's, and snapshots let it come and grow. */
const DIRECTORY = "/run/boxyard-attacker";
const UNIT = "boxyard-attacker";
/** Where it may leave something that does not go with its website; the next attacker would find it. */
const EVERYBODYS = ["/tmp", "/var/tmp", "/dev/shm", "/run/lock", "/var/cache"];

export interface AttackerOptions {
  readonly server: string;
  /** Whose rights it has. */
  readonly site: string;
  /** Whose files and secrets it is after. */
  readonly victim: string;
  /** A domain of the attacker's website. */
  readonly domain: string;
  readonly seed: number;
  readonly seconds: number;
  /** Names of the program's table. */
  readonly attacks: readonly string[];
}

/** What each attack has done, by its name and by what it counts. */
export type Counts = Readonly<Record<string, Readonly<Record<string, number>>>>;

/** The attacker's program on one server, with a website's rights. */
export class Attacker {
  readonly server: string;

  readonly #site: string;

  private constructor(server: string, site: string) {
    this.server = server;
    this.#site = site;
  }

  static async start({ server, site, ...told }: AttackerOptions): Promise<Attacker> {
    const program = await readFile(join(import.meta.dirname, "attacker.py"), "utf8");
    await mustInServer(server, "mkdir", "-p", DIRECTORY);
    await inServer(server, ["tee", `${DIRECTORY}/attacker.py`], program);
    await mustInServer(
      ...([server, "systemd-run", "--quiet", "--collect", `--unit=${UNIT}`, `--uid=${site}`, `--gid=${site}`] as const),
      ...["--property=CPUWeight=20", "--property=TasksMax=200", `--property=StandardOutput=truncate:${DIRECTORY}/said`],
      ...[`--property=StandardError=truncate:${DIRECTORY}/failed`, "--working-directory=/", "--"],
      ...["/usr/bin/python3", "-u", `${DIRECTORY}/attacker.py`, JSON.stringify({ site, ...told })],
    );
    return new Attacker(server, site);
  }

  /** As of a second ago. */
  async counts(): Promise<Counts> {
    const said = (await mustInServer(this.server, "tail", "-n", "1", `${DIRECTORY}/said`)).trim();
    return said === "" ? {} : (JSON.parse(said) as Counts);
  }

  /** What broke in the program itself: nothing. */
  broken(): Promise<string> {
    return mustInServer(this.server, "tail", "-n", "20", `${DIRECTORY}/failed`);
  }

  /** Ends it, and removes what it has left where all may write. */
  async stop(): Promise<void> {
    await inServer(this.server, ["systemctl", "stop", `${UNIT}.service`]);
    await inServer(this.server, ["find", ...EVERYBODYS, "-xdev", "-user", this.#site, "-delete"]);
    await inServer(this.server, ["rm", "-rf", DIRECTORY]);
  }
}

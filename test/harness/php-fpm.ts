import { spawn } from "node:child_process";
import { once } from "node:events";
import { access, chmod, mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { run } from "#base/run.ts";

const ACCOUNTS = ["www-data:www-data", "nobody:nogroup"] as const;

/** A real PHP-FPM with a box's configuration. */
export interface TestPhpFpm {
  /** What a pool says to a request with these FastCGI parameters: headers and body. */
  ask(pool: string, parameters: Readonly<Record<string, string>>): Promise<string>;
  stop(): Promise<void>;
}

export interface TestPhpFpmOptions {
  /** A box's files by their paths on it; `s1` and `s2` become accounts of this machine. */
  readonly files: readonly { readonly path: string; readonly content: string }[];
  /** What pools may read, by name; all of it lies in one folder. */
  readonly scripts?: Readonly<Record<string, string>>;
}

/** PHP-FPM of this machine, whatever its version. */
export async function findPhpFpm(): Promise<string> {
  const program = (await readdir("/usr/sbin")).findLast((name) => /^php-fpm\d/.test(name));
  if (program === undefined) throw new Error("PHP-FPM is not installed: run bin/test once, it installs what unit tests need");
  return `/usr/sbin/${program}`;
}

/** Has the configuration in a folder of its own, in a form for PHP-FPM of this machine, whatever its version. */
export class PhpFpmFolder {
  readonly path: string;
  readonly #program: string;

  private constructor(path: string, program: string) {
    this.path = path;
    this.#program = program;
  }

  static async create({ files, scripts = {} }: TestPhpFpmOptions): Promise<PhpFpmFolder> {
    const program = await findPhpFpm();
    const path = await mkdtemp(join(tmpdir(), "boxyard-php-"));
    await chmod(path, 0o755);
    const folder = new PhpFpmFolder(path, program);
    for (const { path: at, content } of files) await folder.write(at.replace("/etc/php/8.4/fpm/", ""), folder.#adapt(content));
    for (const [name, content] of Object.entries(scripts)) await folder.write(name, content);
    await mkdir(join(path, "run"), { mode: 0o755 });
    return folder;
  }

  async write(name: string, content: string): Promise<void> {
    await mkdir(dirname(join(this.path, name)), { recursive: true });
    await writeFile(join(this.path, name), content);
  }

  /** PHP-FPM's own checker, as it is asked on a box. */
  async check(): Promise<void> {
    await run([this.#program, "--fpm-config", join(this.path, "php-fpm.conf"), "-t"], { environment: this.#environment() });
  }

  async start(): Promise<TestPhpFpm> {
    const server = spawn(this.#program, ["--nodaemonize", "--fpm-config", join(this.path, "php-fpm.conf")], {
      env: { PATH: process.env["PATH"], ...this.#environment() },
      stdio: "ignore",
    });
    const socket = (pool: string) => join(this.path, "run", `boxyard-${pool}.sock`);
    for (let tries = 0; !(await isThere(socket("s1"))); tries++) {
      if (tries === 100) throw new Error("PHP-FPM did not start");
      await sleep(100);
    }
    return {
      ask: async (pool, parameters) => {
        const environment = { REQUEST_METHOD: "GET", GATEWAY_INTERFACE: "CGI/1.1", ...parameters };
        return (await run(["cgi-fcgi", "-bind", "-connect", socket(pool)], { environment })).stdout;
      },
      stop: async () => {
        const ended = once(server, "exit");
        server.kill("SIGTERM");
        await ended;
        await rm(this.path, { recursive: true, force: true });
      },
    };
  }

  #environment(): Record<string, string> {
    return { PHP_INI_SCAN_DIR: `:${this.path}/conf.d` };
  }

  #adapt(content: string): string {
    const accounts = ACCOUNTS.map((account, index) => [`s${index + 1}`, ...account.split(":")] as const);
    const moved = content.replaceAll("/etc/php/8.4/fpm", this.path).replaceAll("/run/php/", `${this.path}/run/`);
    return accounts
      .reduce((text, [id, user, group]) => text.replace(`user = ${id}\ngroup = ${id}\n`, `user = ${user}\ngroup = ${group}\n`), moved)
      .replace("/var/log/php8.4-fpm.log", `${this.path}/log`);
  }
}

function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

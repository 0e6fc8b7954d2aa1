import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { type IncomingMessage, type OutgoingHttpHeaders, request } from "node:http";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { apacheFiles } from "#agent/roles/box/apache.ts";
import { READY_MARKER } from "#agent/roles/box/health.ts";
import { poolSocket } from "#agent/roles/box/php.ts";
import { logDirectory, sitePaths } from "#agent/website/paths.ts";
import { until } from "#base/retry.ts";
import { type RunResult, run } from "#base/run.ts";
import type { BoxSpec } from "#contract/spec/box.ts";
import { findPhpFpm } from "./php-fpm.ts";

const COMMIT = "0123456789".repeat(4);
/** What a file may have at most in a `TestBox`, in bytes; a box's own limit, which its golden file has, takes a minute to send. */
export const LONGEST_TEST_FILE = 64 * 2 ** 20;
const MAIN = "/etc/apache2/apache2.conf";

interface BoxReply {
  readonly status: number;
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
  /** What came first, and when it came. */
  readonly first: { readonly text: string; readonly afterMs: number };
}

interface BoxRequest {
  readonly path: string;
  readonly method?: string;
  readonly headers?: OutgoingHttpHeaders;
  /** In the pieces that are sent; without `content-length` among the headers it is sent without a length. */
  readonly body?: readonly (string | Buffer)[];
}

/**
 * A box's Apache and PHP-FPM on an address of their own, with the rendered configuration: paths are below a scratch folder,
 * PHP is this machine's.
 */
export class TestBox {
  readonly #address: string;
  readonly #spec: BoxSpec;
  readonly #running: ChildProcess[] = [];
  folder = "";

  constructor(address: string, spec: BoxSpec) {
    this.#address = address;
    this.#spec = spec;
  }

  /** Writes all files that a box has, and a release of every website with these files in it. */
  async write(release: Readonly<Record<string, string>>): Promise<void> {
    this.folder = await mkdtemp(join(tmpdir(), "boxyard-box-"));
    await chmod(this.folder, 0o755);
    for (const { path, content } of apacheFiles(this.#spec, "c1b1")) {
      const server = path === MAIN ? content.replace("Listen 80", `Listen ${this.#address}:80`) : content;
      await this.#write(path, server);
    }
    await this.#write(READY_MARKER, "");
    await mkdir(this.here("/var/log/apache2"), { recursive: true });
    await mkdir(this.here("/run/apache2"), { recursive: true });
    for (const { id } of this.#spec.websites) {
      const paths = sitePaths(id);
      await mkdir(this.here(logDirectory(id)), { recursive: true });
      await this.#write(`${paths.release(COMMIT)}/.boxyard-release`, `${COMMIT}\ndocroot=docroot\n`);
      for (const [path, content] of Object.entries(release)) await this.#write(`${paths.release(COMMIT)}/${path}`, content);
      await symlink(this.here(paths.release(COMMIT)), this.here(paths.current));
    }
  }

  /** Apache's own checker. */
  check(): Promise<RunResult> {
    return run(["apache2", "-t", "-f", this.here(MAIN)], { environment: this.#environment() });
  }

  async start(): Promise<void> {
    const pools = this.#spec.websites.map(({ id }) => {
      const socket = this.here(poolSocket(id));
      return `[${id}]\nuser=www-data\ngroup=www-data\nlisten=${socket}\nlisten.owner=www-data\npm=static\npm.max_children=4\n`;
    });
    const fpm = join(this.folder, "fpm.conf");
    await mkdir(this.here("/run/php"), { recursive: true });
    await writeFile(fpm, `[global]\nerror_log=${this.folder}/fpm.log\n${pools.join("\n")}`);
    const settings = ["-d", "post_max_size=2G", "-d", "output_buffering=0"];
    this.#running.push(spawn(await findPhpFpm(), ["-F", "-n", ...settings, "-y", fpm], { stdio: "ignore" }));
    const environment = { ...process.env, ...this.#environment() };
    const foreground = ["-D", "FOREGROUND"];
    const limits = [`--fsize=${LONGEST_TEST_FILE}`, "/usr/sbin/apache2"];
    this.#running.push(spawn("prlimit", [...limits, "-f", this.here(MAIN), ...foreground], { stdio: "ignore", env: environment }));
    const isThere = () => {
      // One that an earlier run has left would answer in its place.
      if (this.#running.some(hasEnded)) throw new Error(`Apache or PHP ended: is ${this.#address}:80 in use, by one of a killed run?`);
      return this.ask({ path: "/" }).then(
        ({ status }) => status === 200 || null,
        () => null,
      );
    };
    await until("Apache and PHP to answer", isThere, { timeoutMs: 60_000 });
  }

  /** A request as a cache sends it. */
  async ask({ path, method = "GET", headers = {}, body = [] }: BoxRequest): Promise<BoxReply> {
    const startedAtMs = performance.now();
    const host = this.#spec.websites[0]?.domains[0]?.name;
    const outgoing = request({ host: this.#address, port: 80, path, method, agent: false, headers: { host, ...headers } });
    outgoing.on("error", () => undefined);
    for (const piece of body) outgoing.write(piece);
    outgoing.end();
    const [incoming] = (await once(outgoing, "response")) as [IncomingMessage];
    const chunks: Buffer[] = [];
    let firstAfterMs = 0;
    for await (const chunk of incoming) {
      if (chunks.length === 0) firstAfterMs = performance.now() - startedAtMs;
      chunks.push(chunk as Buffer);
    }
    const first = { text: chunks[0]?.toString() ?? "", afterMs: firstAfterMs };
    return { status: incoming.statusCode ?? 0, headers: incoming.headers, body: Buffer.concat(chunks).toString(), first };
  }

  async end(): Promise<void> {
    for (const one of this.#running.filter((one) => !hasEnded(one))) {
      const ended = once(one, "exit");
      one.kill();
      await ended;
    }
    await rm(this.folder, { recursive: true, force: true });
  }

  /** Where a path of a box is here; also within text. */
  here(text: string): string {
    return text.replaceAll(
      /\/(?:etc\/apache2\/(?:boxyard|apache2\.conf)|etc\/boxyard|etc\/systemd|srv|run|var\/log)\b/g,
      (found) => `${this.folder}${found}`,
    );
  }

  /** Where Apache keeps what it does not want in memory. */
  get temporary(): string {
    return join(this.folder, "temporary");
  }

  #environment(): Record<string, string> {
    const run = this.here("/run/apache2");
    const user = { APACHE_RUN_USER: "www-data", APACHE_RUN_GROUP: "www-data", TMPDIR: this.temporary };
    return { ...user, APACHE_RUN_DIR: run, APACHE_PID_FILE: `${run}/apache2.pid` };
  }

  async #write(path: string, content: string): Promise<void> {
    await mkdir(dirname(this.here(path)), { recursive: true });
    await writeFile(this.here(path), this.here(content));
  }
}

function hasEnded({ exitCode, signalCode }: ChildProcess): boolean {
  return exitCode !== null || signalCode !== null;
}

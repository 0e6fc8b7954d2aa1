import { setTimeout as sleep } from "node:timers/promises";
import { Fault } from "#base/fault.ts";
import type { Argv } from "#base/run.ts";
import type { Cloud, CloudServer, ExecutionResult, Guard, ServerFile, ServerWant, VolumeMount } from "../driver.ts";

type Method = keyof Cloud;
type Files = Map<string, Uint8Array>;

/** What a program of a server in memory answers, given what it can read. */
type Program = (args: readonly string[], readFile: (path: string) => Uint8Array | null) => ExecutionResult;

interface Server {
  readonly files: Files;
  readonly mounts: VolumeMount[];
  isRunning: boolean;
  guard: Guard | null;
}

/** A cloud that is only remembered, for tests of what uses one. */
export function memoryCloud(): MemoryCloud {
  return new MemoryCloud();
}

/** The memory twin of a cloud; it can be told to be slow and to fail, method by method. */
export class MemoryCloud implements Cloud {
  readonly #servers = new Map<string, Server>();
  readonly #volumes = new Map<string, Files>();
  readonly #faults = new Map<Method, Fault>();
  readonly #delaysMs = new Map<Method, number>();

  /** From now on the method throws this fault, until `mend`. */
  fail(method: Method, fault: Fault): void {
    this.#faults.set(method, fault);
  }

  /** From now on the method takes this time before it does anything, until `mend`. */
  slow(method: Method, delayMs: number): void {
    this.#delaysMs.set(method, delayMs);
  }

  /** Takes back what `fail` and `slow` have told for the method. */
  mend(method: Method): void {
    this.#faults.delete(method);
    this.#delaysMs.delete(method);
  }

  async check(): Promise<void> {
    await this.#meetTrouble("check");
  }

  async listServers(): Promise<CloudServer[]> {
    await this.#meetTrouble("listServers");
    return [...this.#servers].map(([name, { isRunning, guard }]) => ({ name, isRunning, guard }));
  }

  async ensureServer(want: ServerWant): Promise<void> {
    await this.#meetTrouble("ensureServer");
    for (const { volume } of want.volumes) this.#volume(volume);
    const server: Server = this.#servers.get(want.name) ?? { files: new Map(), mounts: [], isRunning: false, guard: null };
    server.guard = want.guard;
    const mounted = new Set(server.mounts.map(({ volume }) => volume));
    server.mounts.push(...want.volumes.filter(({ volume }) => !mounted.has(volume)));
    this.#servers.set(want.name, server);
    if (server.isRunning) return;
    for (const file of want.files) this.#write(server, file);
    server.isRunning = true;
  }

  async guardServer(name: string, guard: Guard): Promise<void> {
    await this.#meetTrouble("guardServer");
    this.#server(name).guard = guard;
  }

  /** As a server of an older Boxyard is. */
  unguard(name: string): void {
    this.#server(name).guard = null;
  }

  async removeServer(name: string): Promise<void> {
    await this.#meetTrouble("removeServer");
    this.#servers.delete(name);
  }

  async startServer(name: string): Promise<void> {
    await this.#meetTrouble("startServer");
    this.#server(name).isRunning = true;
  }

  async stopServer(name: string): Promise<void> {
    await this.#meetTrouble("stopServer");
    const server = this.#servers.get(name);
    if (server !== undefined) server.isRunning = false;
  }

  async writeFile(server: string, file: ServerFile): Promise<void> {
    await this.#meetTrouble("writeFile");
    this.#write(this.#server(server), file);
  }

  async readFile(server: string, path: string): Promise<Uint8Array | null> {
    await this.#meetTrouble("readFile");
    return this.#read(this.#server(server), path);
  }

  async execute(name: string, [program, ...args]: Argv, options: { readonly timeoutMs?: number } = {}): Promise<ExecutionResult> {
    await this.#meetTrouble("execute");
    const server = this.#server(name);
    if (!server.isRunning) throw new Fault("cloud.failed", `server ${name} is not running`);
    if (program === "sleep") await sleepAtMost(Number(args[0]) * 1000, options.timeoutMs ?? 120_000);
    return PROGRAMS[program]?.(args, (path) => this.#read(server, path)) ?? { exitCode: 127, stdout: "", stderr: "" };
  }

  async ensureVolume(name: string): Promise<void> {
    await this.#meetTrouble("ensureVolume");
    if (!this.#volumes.has(name)) this.#volumes.set(name, new Map());
  }

  async removeVolume(name: string): Promise<void> {
    await this.#meetTrouble("removeVolume");
    const isMounted = [...this.#servers.values()].some(({ mounts }) => mounts.some(({ volume }) => volume === name));
    if (isMounted) throw new Fault("cloud.failed", `volume ${name} is in use`);
    this.#volumes.delete(name);
  }

  async listVolumes(): Promise<string[]> {
    await this.#meetTrouble("listVolumes");
    return [...this.#volumes.keys()];
  }

  async #meetTrouble(method: Method): Promise<void> {
    await sleep(this.#delaysMs.get(method) ?? 0);
    const fault = this.#faults.get(method);
    if (fault !== undefined) throw fault;
  }

  #read(server: Server, path: string): Uint8Array | null {
    const { files, key } = this.#place(server, path);
    return files.get(key) ?? null;
  }

  #write(server: Server, { path, content }: ServerFile): void {
    const { files, key, isReadOnly } = this.#place(server, path);
    if (isReadOnly) throw new Fault("cloud.failed", `${path} is on a read-only volume`);
    files.set(key, typeof content === "string" ? new TextEncoder().encode(content) : content.slice());
  }

  /** Where a path of a server lies: on a volume below its mount, else on the server itself. */
  #place(server: Server, path: string): { readonly files: Files; readonly key: string; readonly isReadOnly: boolean } {
    const mount = server.mounts.find((one) => path.startsWith(`${one.path}/`));
    if (mount === undefined) return { files: server.files, key: path, isReadOnly: false };
    return { files: this.#volume(mount.volume), key: path.slice(mount.path.length), isReadOnly: mount.isReadOnly };
  }

  #server(name: string): Server {
    const server = this.#servers.get(name);
    if (server === undefined) throw new Fault("cloud.failed", `there is no server ${name} in the cloud`);
    return server;
  }

  #volume(name: string): Files {
    const files = this.#volumes.get(name);
    if (files === undefined) throw new Fault("cloud.failed", `there is no volume ${name} in the cloud`);
    return files;
  }
}

/** The few programs that a server in memory has. */
const PROGRAMS: Readonly<Record<string, Program>> = {
  true: () => ({ exitCode: 0, stdout: "", stderr: "" }),
  false: () => ({ exitCode: 1, stdout: "", stderr: "" }),
  sleep: () => ({ exitCode: 0, stdout: "", stderr: "" }),
  cat: ([path = ""], readFile) => {
    const bytes = readFile(path);
    if (bytes === null) return { exitCode: 1, stdout: "", stderr: `cat: ${path}: No such file or directory\n` };
    return { exitCode: 0, stdout: new TextDecoder().decode(bytes), stderr: "" };
  },
};

async function sleepAtMost(durationMs: number, limitMs: number): Promise<void> {
  await sleep(Math.min(durationMs, limitMs));
  if (durationMs > limitMs) throw new Fault("cloud.failed", `sleep has not ended within ${limitMs / 1000} s`);
}

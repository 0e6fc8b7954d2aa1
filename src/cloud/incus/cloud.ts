import { setTimeout as sleep } from "node:timers/promises";
import { Fault, isFault } from "#base/fault.ts";
import type { Argv } from "#base/run.ts";
import type { Cloud, CloudServer, ExecutionResult, Guard, ServerFile, ServerWant } from "../driver.ts";
import { Connection, type Endpoint, whenFree } from "./connection.ts";
import { closedDoor, guardedNic, guardOf } from "./guard.ts";

/** Which part of the cloud a yard uses. */
export interface IncusOptions {
  readonly endpoint: Endpoint;
  readonly project: string;
  readonly network: string;
  readonly pool: string;
}

interface Instance {
  readonly name: string;
  readonly status: string;
  readonly config: Record<string, string>;
  readonly devices: Record<string, Record<string, string>>;
}

/** How long a command may take to end after it was told to, before it is killed and the answer given up. */
const KILL_MS = 10_000;
/** Exit codes of timeout(1) when the time was up. */
const [TIMED_OUT, KILLED] = [124, 137];

/** System containers of LXD 5 or Incus 6 through their REST API. */
export function incusCloud(options: IncusOptions): Cloud {
  return new IncusCloud(options);
}

class IncusCloud implements Cloud {
  readonly #api: Connection;
  readonly #options: IncusOptions;

  constructor(options: IncusOptions) {
    this.#options = options;
    this.#api = new Connection(options.endpoint, options.project);
  }

  async check(): Promise<void> {
    const server = await this.#api.call<{ auth: string }>("/1.0");
    if (server.auth !== "trusted") {
      throw new Fault("cloud.forbidden", "the cloud does not trust the yard's certificate", {
        next: "run bin/up for this yard again: it trusts the certificate anew",
      });
    }
    await this.#api.call("/1.0/instances");
  }

  async listServers(): Promise<CloudServer[]> {
    const instances = await this.#api.call<Instance[]>("/1.0/instances", { query: { recursion: "1" } });
    return instances.map((one) => ({ name: one.name, isRunning: one.status === "Running", guard: guardOf(one) }));
  }

  async ensureServer(want: ServerWant): Promise<void> {
    const have = await this.#find(want.name);
    if (have === null) await this.#create(want);
    else {
      await this.#addDevices(want, have);
      await this.guardServer(want.name, want.guard);
    }
    if (have?.status !== "Running") {
      // Files are written until the first start has succeeded, so that an interrupted creation is completed.
      for (const file of want.files) await this.writeFile(want.name, file);
      await this.startServer(want.name);
    }
  }

  async guardServer(name: string, guard: Guard): Promise<void> {
    const have = await this.#find(name);
    if (have === null) throw nobody(name);
    if (guardOf(have) === guard) return;
    const devices = { ...have.devices, eth0: { ...have.devices["eth0"], ...guardedNic(guard) } };
    await whenFree(() => this.#api.call(`/1.0/instances/${name}`, { method: "PATCH", body: { devices } }));
    await whenFree(async () => this.#api.call(`/1.0/instances/${name}`, { method: "PATCH", body: { config: await this.#closedDoor() } }));
  }

  async removeServer(name: string): Promise<void> {
    for (let attempt = 1; (await this.#find(name)) !== null; attempt++) {
      if (attempt > 10) throw new Fault("cloud.failed", `the cloud removes ${name}, but it is still there`);
      try {
        await this.stopServer(name, { isForced: true });
        await whenFree(() => this.#api.find(`/1.0/instances/${name}`, { method: "DELETE" }));
      } catch (thrown) {
        // A daemon that has just begun starts its servers again, between the stop and the removal too.
        if (attempt >= 10 || isLasting(thrown)) throw thrown;
        await sleep(500);
      }
    }
  }

  async startServer(name: string): Promise<void> {
    await this.#mustExist(name);
    await this.#setState(name, "start", "Running");
  }

  async stopServer(name: string, { isForced = false }: { readonly isForced?: boolean } = {}): Promise<void> {
    await this.#setState(name, "stop", "Stopped", { force: isForced, timeout: isForced ? -1 : 30 });
  }

  async writeFile(server: string, { path, content, mode = 0o644 }: ServerFile): Promise<void> {
    await this.#ensureDirectory(server, path);
    const raw = typeof content === "string" ? new TextEncoder().encode(content) : content;
    await this.#upload(server, path, raw, fileHeaders("file", mode));
  }

  async readFile(server: string, path: string): Promise<Uint8Array | null> {
    const bytes = await this.#download(server, path);
    // The API answers 404 for both.
    if (bytes === null) await this.#mustExist(server);
    return bytes;
  }

  async execute(server: string, argv: Argv, { timeoutMs = 120_000 }: { readonly timeoutMs?: number } = {}): Promise<ExecutionResult> {
    const startedAt = performance.now();
    const { return: exitCode, output } = await this.#api
      .call<{ return: number; output: Record<string, string> }>(`/1.0/instances/${server}/exec`, {
        method: "POST",
        timeoutMs: timeoutMs + KILL_MS,
        body: {
          // The API cannot end a command that it has started: the server does it.
          command: ["timeout", `--kill-after=${KILL_MS / 2000}`, String(timeoutMs / 1000), ...argv],
          "record-output": true,
          "wait-for-websocket": false,
          interactive: false,
          environment: { LC_ALL: "C.UTF-8", HOME: "/root" },
        },
      })
      .catch(exitCodeOfFault);
    const stdout = await this.#takeOutput(output["1"]);
    const stderr = await this.#takeOutput(output["2"]);
    if ((exitCode === TIMED_OUT || exitCode === KILLED) && performance.now() - startedAt >= timeoutMs)
      throw new Fault("cloud.failed", `${argv[0]} on ${server} has not ended within ${timeoutMs / 1000} s`, {
        details: { stdout, stderr },
      });
    return { exitCode, stdout, stderr };
  }

  async ensureVolume(name: string): Promise<void> {
    if ((await this.#api.find(this.#volume(name))) !== null) return;
    const body = { name, type: "custom", content_type: "filesystem", config: {} };
    try {
      await this.#api.call(`/1.0/storage-pools/${this.#options.pool}/volumes/custom`, { method: "POST", body });
    } catch (thrown) {
      // Another creation of a server of the same cluster was quicker.
      if ((await this.#api.find(this.#volume(name))) === null) throw thrown;
    }
  }

  async removeVolume(name: string): Promise<void> {
    await this.#api.find(this.#volume(name), { method: "DELETE" });
  }

  async listVolumes(): Promise<string[]> {
    const volumes = await this.#api.call<{ name: string }[]>(`/1.0/storage-pools/${this.#options.pool}/volumes/custom`, {
      query: { recursion: "1" },
    });
    return volumes.map(({ name }) => name);
  }

  async #create(want: ServerWant): Promise<void> {
    const config = await this.#closedDoor();
    await whenFree(() =>
      this.#api.call("/1.0/instances", {
        method: "POST",
        body: {
          name: want.name,
          source: { type: "copy", source: want.template, instance_only: true },
          config,
          devices: this.#devices(want),
        },
      }),
    );
  }

  /** Each daemon refuses the other's name for it. */
  async #closedDoor(): Promise<Record<string, string>> {
    const { environment } = await this.#api.call<{ environment: { server: string } }>("/1.0");
    return closedDoor(environment.server);
  }

  /** A server that exists gets volumes that it lacks; devices are never taken away here. */
  async #addDevices(want: ServerWant, have: Instance): Promise<void> {
    const missing = Object.entries(this.#devices(want)).filter(([name]) => have.devices[name] === undefined);
    if (missing.length === 0) return;
    await whenFree(() =>
      this.#api.call(`/1.0/instances/${want.name}`, {
        method: "PATCH",
        body: { devices: { ...have.devices, ...Object.fromEntries(missing) } },
      }),
    );
  }

  #devices(want: ServerWant): Instance["devices"] {
    const { network, pool } = this.#options;
    const volumes = want.volumes.map(({ volume, path, isReadOnly }) => [
      volume,
      { type: "disk", pool, source: volume, path, ...(isReadOnly ? { readonly: "true" } : {}) },
    ]);
    const proxies = (want.proxies ?? []).map(({ name, listen, connect }) => [name, { type: "proxy", listen, connect, bind: "instance" }]);
    return {
      root: { type: "disk", pool, path: "/" },
      eth0: { type: "nic", name: "eth0", network, "ipv4.address": want.address, ...guardedNic(want.guard) },
      ...Object.fromEntries([...volumes, ...proxies]),
    };
  }

  async #mustExist(name: string): Promise<void> {
    if ((await this.#find(name)) === null) throw nobody(name);
  }

  #find(name: string): Promise<Instance | null> {
    return this.#api.find<Instance>(`/1.0/instances/${name}`);
  }

  async #setState(name: string, action: "start" | "stop", wanted: string, options: Record<string, unknown> = {}): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      const have = await this.#find(name);
      if (have === null || have.status === wanted) return;
      try {
        await this.#api.call(`/1.0/instances/${name}/state`, { method: "PUT", body: { action, timeout: -1, ...options } });
        return;
      } catch (thrown) {
        // The state may have changed between the look and the act, or another operation be under way.
        if (attempt >= 10 || isLasting(thrown)) throw thrown;
        await sleep(500);
      }
    }
  }

  async #ensureDirectory(server: string, path: string): Promise<void> {
    const parts = path.split("/").slice(1, -1);
    for (let depth = 1; depth <= parts.length; depth++) {
      const directory = `/${parts.slice(0, depth).join("/")}`;
      if ((await this.#download(server, directory)) !== null) continue;
      await this.#upload(server, directory, new Uint8Array(), fileHeaders("directory", 0o755));
    }
  }

  #download(server: string, path: string): Promise<Uint8Array | null> {
    return whenFree(() => this.#api.download(`/1.0/instances/${server}/files`, { path }));
  }

  #upload(server: string, path: string, raw: Uint8Array, headers: Record<string, string>): Promise<unknown> {
    return whenFree(() => this.#api.call(`/1.0/instances/${server}/files`, { method: "POST", query: { path }, raw, headers }));
  }

  async #takeOutput(path: string | undefined): Promise<string> {
    if (path === undefined) return "";
    const bytes = await this.#api.download(path);
    await this.#api.find(path, { method: "DELETE" });
    return bytes === null ? "" : new TextDecoder().decode(bytes);
  }

  #volume(name: string): string {
    return `/1.0/storage-pools/${this.#options.pool}/volumes/custom/${name}`;
  }
}

function nobody(name: string): Fault {
  return new Fault("cloud.failed", `there is no server ${name} in the cloud`);
}

/** The daemon makes errors of two exit codes, LXD as the operation's end, Incus as the answer to waiting for it. */
function exitCodeOfFault(thrown: unknown): { return: number; output: Record<string, string> } {
  const codes: Record<string, number> = { "Command not executable": 126, "Command not found": 127 };
  const [words = ""] = isFault(thrown, "cloud.failed") ? (/Command not \w+$/.exec(thrown.message) ?? []) : [];
  const code = codes[words];
  if (code === undefined) throw thrown;
  return { return: code, output: {} };
}

/** LXD and Incus read their own prefix and ignore the other's. */
function fileHeaders(type: "file" | "directory", mode: number): Record<string, string> {
  const facts = { type, mode: `0${mode.toString(8)}`, uid: "0", gid: "0" };
  return Object.fromEntries(
    ["LXD", "Incus"].flatMap((prefix) => Object.entries(facts).map(([name, value]) => [`X-${prefix}-${name}`, value])),
  );
}

/** Whether the same call would fail again. */
function isLasting(thrown: unknown): boolean {
  return isFault(thrown, "cloud.forbidden") || isFault(thrown, "cloud.unreachable");
}

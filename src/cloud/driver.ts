import type { Argv } from "#base/run.ts";

/** A server as the cloud should have it. Name, template and address are fixed for its life; the rest may be added to. */
export interface ServerWant {
  readonly name: string;
  /** The stopped server that it is copied from. */
  readonly template: string;
  readonly address: string;
  readonly guard: Guard;
  readonly volumes: readonly VolumeMount[];
  /** Written before the first start, so that the server boots with them. */
  readonly files: readonly ServerFile[];
  /** Doors from inside the server to an address that only the host sees. */
  readonly proxies?: readonly Proxy[];
}

/**
 * What a server cannot pretend to its network, whatever its root does: "address" neither another hardware address nor another
 * IPv4 address than its own, "hardware" no other hardware address, since it may answer at floating addresses. With either
 * it has no door to the cloud's own API.
 */
export type Guard = "address" | "hardware";

export interface VolumeMount {
  readonly volume: string;
  readonly path: string;
  readonly isReadOnly: boolean;
}

export interface ServerFile {
  readonly path: string;
  readonly content: string | Uint8Array;
  /** Permission bits; 0o644 by default. */
  readonly mode?: number;
}

export interface Proxy {
  readonly name: string;
  /** "tcp:127.0.0.1:8443" inside the server. */
  readonly listen: string;
  /** "tcp:127.0.0.1:8443" on the host. */
  readonly connect: string;
}

export interface CloudServer {
  readonly name: string;
  readonly isRunning: boolean;
  /** Null for a server without one: of an older Boxyard, or changed by hand. */
  readonly guard: Guard | null;
}

export interface ExecutionResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Servers and volumes of one yard, whatever cloud carries them. Every method may be called twice: what is there already
 * is left as it is, what is gone already is not missed. All throw Fault "cloud.unreachable" when the cloud does not
 * answer, "cloud.forbidden" when it refuses the credential, "cloud.failed" with the cloud's words otherwise.
 */
export interface Cloud {
  /** Resolves when the cloud answers and the yard's project may be used. */
  check(): Promise<void>;
  listServers(): Promise<CloudServer[]>;
  /** The server exists, is guarded and runs. */
  ensureServer(want: ServerWant): Promise<void>;
  /** The server has this guard, at once when it runs; nothing else of it changes. */
  guardServer(name: string, guard: Guard): Promise<void>;
  /** The server is gone, with everything in it; volumes stay. */
  removeServer(name: string): Promise<void>;
  startServer(name: string): Promise<void>;
  /** Without `isForced` the server shuts down by itself first, for at most 30 s. */
  stopServer(name: string, options?: { readonly isForced?: boolean }): Promise<void>;
  writeFile(server: string, file: ServerFile): Promise<void>;
  /** The file's bytes, or null when there is none. */
  readFile(server: string, path: string): Promise<Uint8Array | null>;
  /** Runs a command in a running server to its end. */
  execute(server: string, argv: Argv, options?: { readonly timeoutMs?: number }): Promise<ExecutionResult>;
  /** A volume that many servers may mount at once. */
  ensureVolume(name: string): Promise<void>;
  /** Fails with "cloud.failed" while a server mounts it. */
  removeVolume(name: string): Promise<void>;
  listVolumes(): Promise<string[]>;
}

import { Fault, isFault } from "#base/fault.ts";
import { run } from "#base/run.ts";
import type { Service, ServiceState } from "#contract/actions/service.ts";
import { systemctl } from "../converge/unit.ts";

const RESTART_LIMIT_MS = 50_000;

/** What systemd says of a unit; null when the server has no such unit. */
export async function readUnit(unit: string): Promise<Omit<ServiceState, "service"> | null> {
  const properties = "LoadState,ActiveState,NRestarts,MemoryCurrent";
  const { stdout } = await run(["systemctl", "show", `--property=${properties}`, "--", `${unit}.service`]);
  const read = (name: string): string => new RegExp(`^${name}=(.*)$`, "m").exec(stdout)?.[1] ?? "";
  if (read("LoadState") !== "loaded") return null;
  const [state, memory] = [read("ActiveState"), Number(read("MemoryCurrent"))];
  return {
    isActive: state === "active",
    state,
    restarts: Number(read("NRestarts")) || 0,
    memoryBytes: Number.isSafeInteger(memory) ? memory : null,
  };
}

/** Fault "service.not-here" when the server has no such service. */
export async function serviceState(service: Service): Promise<ServiceState> {
  const unit = await readUnit(service);
  if (unit !== null) return { service, ...unit };
  throw new Fault("service.not-here", `there is no service ${service} on this server`);
}

/** Restarts what is there and meant to run; Fault "service.not-restarted" with systemd's words. */
export async function restartService(service: Service): Promise<ServiceState> {
  const before = await serviceState(service);
  if (before.state === "inactive") throw new Fault("service.not-here", `${service} does not run on this server, and is not meant to`);
  // Who restarts often on purpose is not a service that falls over again and again: systemd would stop it and refuse to start it.
  await run(systemctl.act("reset-failed", `${service}.service`));
  await run(systemctl.act("restart", `${service}.service`), { timeoutMs: RESTART_LIMIT_MS }).catch((cause: unknown) => {
    const said = isFault(cause, "run.failed") ? `: ${String(cause.details["stderr"]).trim()}` : "";
    throw new Fault("service.not-restarted", `${service} did not start again${said}`, { cause, next: `journalctl -u ${service}` });
  });
  return serviceState(service);
}

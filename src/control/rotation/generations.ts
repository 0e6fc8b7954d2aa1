import type { Clock } from "#base/clock.ts";
import type { ServerName } from "#contract/names.ts";
import type { ControlFabric } from "#fabric/fabric.ts";
import type { Store } from "../store/schema.ts";
import { listGenerations } from "../store/specs.ts";

interface Wait {
  readonly clock: Clock;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/** Waits until servers have reached the generations that are planned now; gives those that have not when the time is over. */
export async function waitForGenerations(
  { store, fabric }: { readonly store: Store; readonly fabric: ControlFabric },
  servers: readonly ServerName[],
  { clock, timeoutMs, signal }: Wait,
): Promise<ServerName[]> {
  const planned = await listGenerations(store);
  const hasReached = (server: ServerName): boolean =>
    (fabric.registry().get(server)?.generation ?? 0) >= (planned.get(server) ?? Number.POSITIVE_INFINITY);
  const late = (): ServerName[] => servers.filter((server) => !hasReached(server));
  if (late().length === 0) return [];
  const { promise, resolve } = Promise.withResolvers<void>();
  const stopWaiting = [fabric.onRegistryChange(() => late().length === 0 && resolve()), clock.after(timeoutMs, resolve)];
  const onAbort = (): void => resolve();
  signal.addEventListener("abort", onAbort, { once: true });
  // It may have been reached, or cancelled, before anybody listened.
  if (late().length === 0 || signal.aborted) resolve();
  await promise;
  signal.removeEventListener("abort", onAbort);
  for (const stop of stopWaiting) stop();
  signal.throwIfAborted();
  return late();
}

import { timestamp } from "#base/clock.ts";
import type { FaultReport } from "#base/fault.ts";
import type { Log } from "#base/log.ts";
import type { RefusedEvent } from "#contract/events.ts";

export interface RefusalsOptions {
  readonly server: string;
  readonly log: Log;
  readonly publish: (event: RefusedEvent) => Promise<void>;
}

/** After one event for a reason, what follows is counted for so long and told of in one more. */
const QUIET_MS = 10_000;

/** Whether a server was sent what nobody may send it, or what nobody can judge. */
export function isRefusal({ code }: FaultReport): boolean {
  return code.startsWith("fabric.refused") || code === "fabric.malformed";
}

/** Counts what a server refuses and tells of it, without letting a flood of bad messages become a flood of events. */
export class Refusals {
  readonly #options: RefusalsOptions;
  /** By reason: how many came since the last event of it. */
  readonly #quiet = new Map<string, number>();
  #count = 0;

  constructor(options: RefusalsOptions) {
    this.#options = options;
  }

  /** All since the process began. */
  get count(): number {
    return this.#count;
  }

  note(fault: FaultReport, subject: string): void {
    this.#count++;
    const since = this.#quiet.get(fault.code);
    if (since !== undefined) return void this.#quiet.set(fault.code, since + 1);
    this.#tell(fault, subject, 1);
    this.#quiet.set(fault.code, 0);
    setTimeout(() => {
      const more = this.#quiet.get(fault.code) ?? 0;
      this.#quiet.delete(fault.code);
      if (more > 0) this.#tell(fault, subject, more);
    }, QUIET_MS).unref();
  }

  #tell({ code, message }: FaultReport, subject: string, count: number): void {
    const { server, log, publish } = this.#options;
    log.warn({ code, message, subject, count }, "request refused");
    const action = subject.split(".").slice(2).join(".").slice(0, 120);
    publish({ kind: "refused", at: timestamp(), server, code, action, line: message.slice(0, 500), count }).catch(() => undefined);
  }
}

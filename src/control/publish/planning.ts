import { renderFault, reportFault } from "#base/fault.ts";
import type { Log } from "#base/log.ts";
import { type Loop, loop } from "#base/loop.ts";
import type { Publisher } from "./publish.ts";

export interface PlanningOptions {
  readonly publisher: Publisher;
  /** Done before each plan. */
  readonly prepare: () => Promise<void>;
  readonly everyMs: number;
  readonly log: Log;
}

/** Plans and delivers again and again, and remembers why it cannot. */
export class Planning {
  readonly #publisher: Publisher;
  readonly #log: Log;
  readonly #turns: Loop;
  #trouble: string | null = null;

  constructor({ publisher, prepare, everyMs, log }: PlanningOptions) {
    this.#publisher = publisher;
    this.#log = log;
    const work = async (): Promise<void> => {
      await prepare();
      await publisher.plan();
      await publisher.deliver();
      this.#trouble = null;
    };
    this.#turns = loop({ work, everyMs, onFault: (thrown) => this.#note(thrown) });
  }

  start(): void {
    this.#turns.start();
  }

  nudge(): void {
    this.#turns.nudge();
  }

  stop(): Promise<void> {
    return this.#turns.stop();
  }

  /** Resolves when the rows as they are now are planned, or cannot be; delivering goes on. */
  async plan(): Promise<void> {
    await this.#publisher.plan().catch((thrown: unknown) => this.#note(thrown));
    this.nudge();
  }

  /** What could not be done in the last turn, in words. */
  troubles(): string[] {
    return this.#trouble === null ? [] : [this.#trouble];
  }

  #note(thrown: unknown): void {
    this.#log.error({ fault: reportFault(thrown) }, "planning failed");
    this.#trouble = renderFault(thrown).replaceAll("\n", " ");
  }
}

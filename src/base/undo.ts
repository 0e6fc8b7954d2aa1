/** Undo steps collected while a longer action goes on; run backwards when it fails, dropped when it succeeds. */
export class UndoStack {
  readonly #steps: (() => Promise<void>)[] = [];

  add(step: () => Promise<void>): void {
    this.#steps.push(step);
  }

  /** The action succeeded: nothing is to be undone any more. */
  clear(): void {
    this.#steps.length = 0;
  }

  /** Runs every step, newest first; a step that throws does not keep the others from running. */
  async run(onFault: (thrown: unknown) => void): Promise<void> {
    for (let step = this.#steps.pop(); step !== undefined; step = this.#steps.pop()) await step().catch(onFault);
  }
}

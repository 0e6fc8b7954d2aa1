import { inspect } from "node:util";

const MASK = "[secret]";

/** A text that must not appear in logs, events or errors: every way of printing it gives "[secret]" but `reveal()`. */
export class Secret {
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  /** The text itself; call it only where the text leaves for the program that needs it. */
  reveal(): string {
    return this.#text;
  }

  toString(): string {
    return MASK;
  }

  toJSON(): string {
    return MASK;
  }

  [inspect.custom](): string {
    return MASK;
  }
}

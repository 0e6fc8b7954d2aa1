import { randomUUID } from "node:crypto";
import type { ServerName } from "#contract/names.ts";
import { subjects } from "./subjects.ts";

/**
 * Where the servers of one request are to answer: an address for each, which nobody else knows or can guess. The broker
 * asks nobody for the right to name a subject as the one to reply to, so that knowing another's would be as good as its answer.
 */
export class ReplyAddresses {
  readonly #prefix = `${subjects.answers}.${randomUUID()}.`;
  readonly #tokens = new Map<ServerName, string>();
  readonly #servers = new Map<string, ServerName>();

  /** Takes in all answers. */
  get all(): string {
    return `${this.#prefix}*`;
  }

  /** A server's own, the same each time. */
  of(server: ServerName): string {
    const known = this.#tokens.get(server);
    if (known !== undefined) return this.#prefix + known;
    const token = randomUUID();
    this.#tokens.set(server, token);
    this.#servers.set(token, server);
    return this.#prefix + token;
  }

  /** Whose address it is. */
  serverOf(subject: string): ServerName | undefined {
    return this.#servers.get(subject.slice(this.#prefix.length));
  }
}

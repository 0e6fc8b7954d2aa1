import { randomUUID } from "node:crypto";
import type { ServerName } from "#contract/names.ts";
import { subjects } from "./subjects.ts";

const TOKEN_LENGTH = randomUUID().length;

/**
 * Where the servers of one request are to answer: an address for each, which nobody else knows or can guess. The broker
 * asks nobody for the right to name a subject as the one to reply to, so that knowing another's would be as good as its answer.
 */
export class ReplyAddresses {
  readonly #prefix = `${subjects.answers}.${randomUUID()}.`;
  readonly #addresses = new Map<ServerName, string>();

  /** Takes in all answers. */
  get all(): string {
    return `${this.#prefix}*`;
  }

  /** A server's own, the same each time. */
  of(server: ServerName): string {
    const known = this.#addresses.get(server);
    if (known !== undefined) return known;
    const address = `${this.#prefix}${server}-${randomUUID()}`;
    this.#addresses.set(server, address);
    return address;
  }

  /** Whose address it is. */
  serverOf(address: string): ServerName | undefined {
    const server = address.slice(this.#prefix.length, -TOKEN_LENGTH - 1);
    return this.#addresses.get(server) === address ? server : undefined;
  }
}

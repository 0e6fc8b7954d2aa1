import { randomUUID } from "node:crypto";
import { reportFault } from "#base/fault.ts";
import type { Route } from "#contract/api/route.ts";
import type { AuditEntry } from "#contract/audit.ts";
import { masked } from "#contract/secret.ts";
import { appendAudit, listAudit } from "../store/audit.ts";
import type { ApiContext } from "./context.ts";
import type { Handler } from "./handler.ts";

/** One request to change something. */
export interface Change {
  /** The route's name in the contract. */
  readonly name: string;
  readonly route: Route;
  readonly caller: string;
  readonly params: Readonly<Record<string, string>>;
}

/** What is written of a request's answer: not whole lists of servers. */
const MOST_OUTPUT = 4_000;
const MOST_TARGET = 300;

export const audit: Handler<"audit"> = ({ store }, { input: { last } }) => listAudit(store, last);

/** Writes into the audit what becomes of one request to change something: that it was refused, or what was asked, and then how it ended. */
export class ChangeAudit {
  readonly #context: ApiContext;
  readonly #change: Change;
  readonly #request = randomUUID();

  constructor(context: ApiContext, change: Change) {
    this.#context = context;
    this.#change = change;
  }

  /** The result of a check; where it fails, that is in the audit. */
  async check<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (thrown) {
      await this.#append("refused", { fault: reportFault(thrown).message });
      throw thrown;
    }
  }

  /** Nothing is changed before it stands in the audit that somebody wants it. */
  async around<T>(input: unknown, work: () => Promise<T>): Promise<T> {
    const { route } = this.#change;
    await this.#append("asked", { input: masked(route.input, input) });
    try {
      const output = await work();
      const told = masked(route.output, output);
      await this.#end(JSON.stringify(told).length > MOST_OUTPUT ? {} : { output: told });
      return output;
    } catch (thrown) {
      await this.#end({ fault: reportFault(thrown).message });
      throw thrown;
    }
  }

  /** What is done is done: a caller is not told otherwise because it could not be written down. */
  async #end(details: AuditEntry["details"]): Promise<void> {
    await this.#append("ended", details).catch((thrown: unknown) =>
      this.#context.log.error({ fault: reportFault(thrown), request: this.#request, details }, "not in the audit"),
    );
  }

  #append(kind: AuditEntry["kind"], details: AuditEntry["details"]): Promise<void> {
    const { name, caller, params } = this.#change;
    const target = Object.values(params).join(" ").slice(0, MOST_TARGET) || "yard";
    return appendAudit(this.#context.store, { request: this.#request, caller, action: wordsOf(name), target, kind, details });
  }
}

/** "createWebsite" as people say it: "website.create". */
function wordsOf(name: string): string {
  const [verb = name, ...noun] = name.split(/(?=[A-Z])/).map((word) => word.toLowerCase());
  return noun.length === 0 ? verb : `${noun.join("-")}.${verb}`;
}

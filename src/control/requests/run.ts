import { randomUUID } from "node:crypto";
import { z } from "zod";
import { Fault, reportFault } from "#base/fault.ts";
import { type Action, isStream } from "#contract/action.ts";
import { findOperatorAction, operatorActions } from "#contract/actions/operator.ts";
import type { AuditEntry } from "#contract/audit.ts";
import type { ServerName } from "#contract/names.ts";
import type { RequestAnswer, RequestInput, RequestLine, RequestPart, RequestSummary } from "#contract/request.ts";
import { masked } from "#contract/secret.ts";
import type { Target } from "#contract/target.ts";
import type { AskOptions, ControlFabric } from "#fabric/fabric.ts";
import { sumUp } from "#fabric/sums.ts";
import { matches, type Value } from "#fabric/targets/match.ts";
import { parseTarget } from "#fabric/targets/parse.ts";
import { appendAudit } from "../store/audit.ts";
import type { Store } from "../store/schema.ts";
import { resolveTarget } from "./resolve.ts";

export interface RequestContext {
  readonly store: Store;
  readonly fabric: ControlFabric;
}

/** There is one operator's token so far. */
const CALLER = "operator";

/** Requests that people make: under way until the last server has answered or they are called off. */
export class Requests {
  readonly #context: RequestContext;
  readonly #underWay = new Map<string, AbortController>();

  constructor(context: RequestContext) {
    this.#context = context;
  }

  /**
   * Asks the servers of a target and gives each one's answer as it arrives, then what all come to. Every request is in the
   * audit before anybody is asked. Faults before the first line: "action.unknown", "action.bad-input", "target.invalid",
   * "target.unknown", "target.empty".
   */
  async *run(asked: z.output<typeof RequestInput>, gone: AbortSignal): AsyncIterable<RequestLine> {
    const id = randomUUID();
    const { action: name, target } = asked;
    const audit = (kind: AuditEntry["kind"], details: AuditEntry["details"]): Promise<void> =>
      appendAudit(this.#context.store, { request: id, caller: CALLER, action: name, target, kind, details });
    const { action, input, servers, select, where } = await this.#prepare(asked).catch(async (thrown: unknown) => {
      await audit("refused", { fault: reportFault(thrown).message });
      throw thrown;
    });
    await audit("asked", { input: masked(action.input, input), servers: [...servers] });
    const calledOff = new AbortController();
    this.#underWay.set(id, calledOff);
    const summary = new Summary(action);
    try {
      yield { kind: "asked", request: id, servers: [...servers] };
      const { timeoutMs, limits } = asked;
      const options = { id, limits, signal: AbortSignal.any([gone, calledOff.signal]), caller: CALLER, timeoutMs, select };
      for await (const answer of this.#ask(action, servers, input, options)) {
        if (answer.kind === "part") yield answer;
        else {
          summary.add(answer);
          if (await saysSo(where, answer)) yield answer;
        }
      }
      yield summary.line();
    } finally {
      this.#underWay.delete(id);
      const { answered, failed, notAsked } = summary.line();
      await audit("ended", { answered, failed, notAsked });
    }
  }

  /** All that can be refused is refused here, before anybody is asked. */
  async #prepare(asked: z.output<typeof RequestInput>) {
    const action = requireAction(asked.action);
    const input = checkInput(action, asked.input);
    const where = parseTarget(asked.where);
    const { servers, select } = await resolveTarget(this.#context, asked.target, asked);
    if (servers.length === 0)
      throw new Fault("target.empty", `no server is of the target “${asked.target}”`, { next: "boxyard server list" });
    return { action, input, where, select, servers: asked.sample === undefined ? servers : sampleOf(servers, asked.sample) };
  }

  /** Calls a request off; its own answer then ends with what had been done. Fault "request.unknown" when it is over. */
  cancel(id: string): void {
    const calledOff = this.#underWay.get(id);
    if (calledOff === undefined) throw new Fault("request.unknown", `request ${id} is not under way`);
    calledOff.abort();
  }

  /** Servers that are known to be down are told of at once, and not waited for. */
  async *#ask(
    action: Action,
    servers: readonly ServerName[],
    input: unknown,
    options: AskOptions,
  ): AsyncIterable<RequestAnswer | RequestPart> {
    const { fabric } = this.#context;
    // One that was never heard of since control started may be there all the same: the broker knows at once.
    const isDown = (server: ServerName): boolean => !fabric.registry().has(server) && fabric.lastHeard(server) !== null;
    const down = new Set(servers.filter(isDown));
    for (const server of down) {
      const message = `${server} is silent since ${fabric.lastHeard(server)}`;
      yield { kind: "answer", server, durationMs: 0, fault: { code: "fabric.silent", message, next: "boxyard server list says more" } };
    }
    const others = servers.filter((server) => !down.has(server));
    const answers = isStream(action) ? fabric.follow(action, others, input, options) : fabric.ask(action, others, input, options);
    for await (const answer of answers) yield "part" in answer ? { kind: "part", ...answer } : { kind: "answer", ...answer };
  }
}

/** What all answers come to. */
class Summary {
  readonly #action: Action;
  readonly #startedAt = performance.now();
  readonly #outputs: unknown[] = [];
  readonly #failed: ServerName[] = [];
  readonly #notAsked: ServerName[] = [];

  constructor(action: Action) {
    this.#action = action;
  }

  add({ server, output, fault }: RequestAnswer): void {
    if (fault === undefined) this.#outputs.push(output);
    else (fault.code === "fabric.not-asked" ? this.#notAsked : this.#failed).push(server);
  }

  line(): RequestSummary {
    return {
      kind: "summary",
      durationMs: performance.now() - this.#startedAt,
      answered: this.#outputs.length,
      failed: this.#failed.sort(compareNames),
      notAsked: this.#notAsked.sort(compareNames),
      sums: sumUp(this.#action.sums ?? {}, this.#outputs) as RequestSummary["sums"],
    };
  }
}

/** Whether an answer's fields are as wished; a fault always is told. */
async function saysSo(where: Target, { server, output, fault }: RequestAnswer): Promise<boolean> {
  return fault !== undefined || matches(where, { name: server, labels: new Set(), facts: output as Record<string, Value> });
}

function requireAction(name: string): Action {
  const action = findOperatorAction(name);
  if (action !== undefined) return action;
  const known = operatorActions.map((one) => one.name).join(", ");
  throw new Fault("action.unknown", `there is no action “${name}”`, { next: `there are: ${known}` });
}

function checkInput(action: Action, input: unknown): unknown {
  const checked = action.input.safeParse(input);
  if (checked.success) return checked.data;
  throw new Fault("action.bad-input", `${action.name}: ${z.prettifyError(checked.error).replaceAll("✖ ", "")}`, {
    next: `boxyard do ${action.name} --help`,
  });
}

/** So many, each with the same chance. */
function sampleOf(servers: readonly ServerName[], count: number): ServerName[] {
  const left = [...servers];
  const chosen: ServerName[] = [];
  while (chosen.length < count && left.length > 0) chosen.push(...left.splice(Math.floor(Math.random() * left.length), 1));
  return chosen.sort(compareNames);
}

function compareNames(a: ServerName, b: ServerName): number {
  return a.localeCompare(b, "en", { numeric: true });
}

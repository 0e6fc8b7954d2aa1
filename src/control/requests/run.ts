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
import { mayAsk } from "#fabric/policy.ts";
import { sumUp } from "#fabric/sums.ts";
import { matches, type Value } from "#fabric/targets/match.ts";
import { parseTarget } from "#fabric/targets/parse.ts";
import { appendAudit } from "../store/audit.ts";
import { readPolicy } from "../store/people.ts";
import type { Store } from "../store/schema.ts";
import { gateOf, governorsOf } from "./governors.ts";
import { findServers, type Resolved, resolveTarget } from "./resolve.ts";

export interface RequestContext {
  readonly store: Store;
  readonly fabric: ControlFabric;
}

/** Who asks. */
export interface Caller {
  readonly name: string;
  /** Whether everything is open to them; others may only ask servers for what the policy grants. */
  readonly isOperator: boolean;
}

interface UnderWay {
  readonly caller: Caller;
  readonly calledOff: AbortController;
}

/** Requests that people make: under way until the last server has answered or they are cancelled. */
export class Requests {
  readonly #context: RequestContext;
  readonly #underWay = new Map<string, UnderWay>();

  constructor(context: RequestContext) {
    this.#context = context;
  }

  /**
   * Asks the servers of a target and gives each one's answer as it arrives, then what all come to. Every request is in the
   * audit before anybody is asked. Faults before the first line: "action.unknown", "action.bad-input", "target.invalid",
   * "target.unknown", "target.empty", "policy.refused", "governor.unknown".
   */
  async *run(asked: z.output<typeof RequestInput>, caller: Caller, gone: AbortSignal): AsyncIterable<RequestLine> {
    const id = randomUUID();
    const { action: name, target } = asked;
    const audit = (kind: AuditEntry["kind"], details: AuditEntry["details"]): Promise<void> =>
      appendAudit(this.#context.store, { request: id, caller: caller.name, action: name, target, kind, details });
    const { action, input, servers, select, where, governors } = await this.#prepare(asked, caller).catch(async (thrown: unknown) => {
      await audit("refused", { fault: reportFault(thrown).message });
      throw thrown;
    });
    await audit("asked", { input: masked(action.input, input), servers: [...servers] });
    const calledOff = new AbortController();
    this.#underWay.set(id, { caller, calledOff });
    const summary = new Summary(action);
    try {
      yield { kind: "asked", request: id, servers: [...servers], governors: governors.map(({ name, limit }) => ({ name, limit })) };
      const { timeoutMs = action.timeoutMs } = asked;
      const gate = governors.length === 0 ? undefined : gateOf(this.#context.store, governors, { action, request: id, timeoutMs });
      const limits = { ...asked.limits, gate };
      const options = { id, limits, signal: AbortSignal.any([gone, calledOff.signal]), caller: caller.name, timeoutMs, select };
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
  async #prepare(asked: z.output<typeof RequestInput>, caller: Caller) {
    const action = requireAction(asked.action);
    const input = checkInput(action, asked.input);
    const where = parseTarget(asked.where);
    const resolved = await resolveTarget(this.#context, asked.target, asked);
    const servers = await this.#permitted(resolved, asked, caller);
    const { select } = resolved;
    if (servers.length === 0)
      throw new Fault("target.empty", `no server is of the target “${asked.target}”`, { next: "boxyard server list" });
    const governors = await governorsOf(this.#context.store, action, asked.governor);
    return { action, input, where, select, governors, servers: asked.sample === undefined ? servers : sampleOf(servers, asked.sample) };
  }

  /** Calls a request off; its own answer then ends with what had been done. Fault "request.unknown" when it is over, or another's. */
  cancel(id: string, by: Caller): void {
    const found = this.#underWay.get(id);
    if (found === undefined || !(by.isOperator || found.caller.name === by.name))
      throw new Fault("request.unknown", `request ${id} is not under way`);
    found.calledOff.abort();
  }

  /** Calls off everything that a person has under way. */
  cancelAllOf(name: string): void {
    for (const { caller, calledOff } of this.#underWay.values()) if (caller.name === name) calledOff.abort();
  }

  /**
   * The servers that the policy lets someone ask. Whoever names servers hears which of them they may not ask; whoever names
   * none, or lets the servers decide, reaches those that they may.
   */
  async #permitted(
    { servers, select }: Resolved,
    { action, target }: { action: string; target: string },
    caller: Caller,
  ): Promise<readonly ServerName[]> {
    if (caller.isOperator) return servers;
    const policy = await readPolicy(this.#context.store);
    const views = new Map((await findServers(this.#context, "")).map(({ view }) => [view.name, view]));
    const may = await Promise.all(
      servers.map((server) => {
        const view = views.get(server);
        return view !== undefined && mayAsk(policy, { caller: caller.name, action }, () => view);
      }),
    );
    const permitted = servers.filter((_, index) => may[index]);
    const isOpen = target === "" || (select !== undefined && select.kind !== "all");
    if (permitted.length === servers.length || (isOpen && permitted.length > 0)) return permitted;
    const refused = servers.filter((_, index) => !may[index]);
    throw new Fault("policy.refused", `${caller.name} may not ask ${refused.slice(0, 10).join(", ")} for ${action}`, {
      next:
        permitted.length === 0 ? "ask an operator for a rule: boxyard policy list" : `leave them out; permitted: ${permitted.join(" or ")}`,
    });
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

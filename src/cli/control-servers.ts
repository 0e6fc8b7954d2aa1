import { setTimeout as sleep } from "node:timers/promises";
import { Fault, faultFromReport, isFault } from "#base/fault.ts";
import { LEADER_PATH, STANDBY } from "#contract/api/leader.ts";
import { FaultReport } from "#contract/fault.ts";
import { ANSWER_TIMEOUT, type Endpoint, openEndpoint, textOf } from "./http.ts";

export interface ControlServersOptions {
  readonly yard: string;
  readonly urls: readonly string[];
  readonly caPem: string;
  /** Told when nobody leads. */
  readonly note: (line: string) => void;
  /** How long one is looked for that leads. */
  readonly searchMs: number;
  /** How often it is looked whether who was asked, and has not answered yet, still leads. */
  readonly watchMs: number;
}

const CONNECT_TIMEOUT_MS = 5_000;
const LOOK_TIMEOUT_MS = 3_000;
const LOOK_EVERY_MS = 500;
const NOTE_AFTER_MS = 1_000;

/** The control servers of a yard: of one alone nothing is asked but what is to be asked; of several it is found out which one leads. */
export class ControlServers {
  readonly #options: ControlServersOptions;
  readonly #endpoints: readonly Endpoint[];
  #search: Promise<Endpoint> | null = null;
  #leader: Endpoint | null = null;

  constructor(options: ControlServersOptions) {
    this.#options = options;
    this.#endpoints = options.urls.map((url) => this.#open(url));
  }

  get areSeveral(): boolean {
    return this.#endpoints.length > 1;
  }

  /** Who is to be asked; found once, with a connection that stands. Faults: "control.unreachable", "control.untrusted". */
  async leader(): Promise<Endpoint> {
    const [only] = this.#endpoints;
    if (only !== undefined && !this.areSeveral) return only;
    if (this.#leader !== null) return this.#leader;
    this.#search ??= this.#find().finally(() => {
      this.#search = null;
    });
    this.#leader = await this.#search;
    return this.#leader;
  }

  /** Who leads is found out anew, unless that has happened since this one was asked. */
  forget(asked: Endpoint): void {
    if (this.#leader === asked) this.#leader = null;
  }

  /**
   * While an answer is waited for: when another one leads by now, who was asked may be a machine without power, which ends no
   * connection; then it is ended here. Gives the way to stop looking.
   */
  watch(asked: Endpoint): () => void {
    if (!this.areSeveral) return () => undefined;
    const over = new AbortController();
    const others = this.#endpoints.filter((one) => one !== asked).map(({ url }) => this.#open(url));
    const look = async (): Promise<void> => {
      while (!over.signal.aborted) {
        await sleep(this.#options.watchMs, undefined, { signal: over.signal, ref: false });
        const isLeft = (await whyNotLeading(asked)) !== null && !over.signal.aborted && (await anyLeads(others));
        if (isLeft) return asked.close();
      }
    };
    look().catch(() => undefined);
    return () => {
      over.abort();
      for (const one of others) one.close();
    };
  }

  #open(url: string): Endpoint {
    return openEndpoint(url, { caPem: this.#options.caPem, connectTimeoutMs: CONNECT_TIMEOUT_MS });
  }

  async #find(): Promise<Endpoint> {
    const reasons = new Map<Endpoint, unknown>();
    const over = new AbortController();
    const giveUp = (): void => {
      over.abort();
      for (const one of this.#endpoints) one.close();
    };
    const timers = [
      setTimeout(giveUp, this.#options.searchMs),
      setTimeout(() => this.#options.note(this.#whatIsWaitedFor(reasons)), NOTE_AFTER_MS),
    ];
    const tell = (one: Endpoint, why: unknown): void => {
      if (over.signal.aborted) return;
      reasons.set(one, why);
      // Waiting does not help against a wrong certificate.
      if (this.#endpoints.every((each) => isDistrust(reasons.get(each)))) giveUp();
    };
    try {
      const leader = await Promise.any(this.#endpoints.map((one) => untilItLeads(one, over.signal, tell)));
      over.abort();
      for (const one of this.#endpoints) if (one !== leader) one.close();
      return leader;
    } catch {
      throw this.#nobodyLeads(reasons);
    } finally {
      for (const timer of timers) clearTimeout(timer);
    }
  }

  #whatIsWaitedFor(reasons: ReadonlyMap<Endpoint, unknown>): string {
    if ([...reasons.values()].some((why) => isFault(why, STANDBY)))
      return `control of yard ${this.#options.yard} is being taken over by another server, which takes up to half a minute`;
    return `control of yard ${this.#options.yard} does not answer at ${this.#options.urls.join(", ")}: asking again for a minute`;
  }

  #nobodyLeads(reasons: ReadonlyMap<Endpoint, unknown>): Fault {
    const { yard } = this.#options;
    const whys = this.#endpoints.map((one) => ({ url: one.url, why: reasons.get(one) }));
    const told = whys.map(({ url, why }) => `${url}: ${reasonOf(why, yard)}`).join("; ");
    const distrusted = whys.filter(({ why }) => isDistrust(why));
    const anew = `bin/up --yard ${yard} reads the yard's certificate authority anew`;
    if (distrusted.length === whys.length) return new Fault("control.untrusted", `nobody to trust (${told})`, { next: anew });
    return new Fault("control.unreachable", `no control server of yard ${yard} works (${told})`, {
      next: distrusted.length > 0 ? `${anew}, and starts what is stopped` : `bin/up --yard ${yard} starts what is stopped`,
    });
  }
}

/** Why no answer came from an address: a stranger there and a slow answer want other steps than a service that is off. */
export function silence(cause: unknown, yard: string, url: string): Fault {
  if (isDistrust(cause))
    return new Fault("control.untrusted", `what answers at ${url} ${stranger(yard)}`, {
      cause,
      next: `bin/up --yard ${yard} reads the yard's certificate authority anew`,
    });
  if (codeOf(cause) === ANSWER_TIMEOUT)
    return new Fault("control.timed-out", `control of yard ${yard} at ${url} did not finish its answer in time`, {
      cause,
      next: "what was asked may have been done all the same: boxyard status",
    });
  return new Fault("control.unreachable", `control of yard ${yard} does not answer at ${url}`, {
    cause,
    next: `bin/up --yard ${yard} starts what is stopped`,
  });
}

/** The code of an error of Node's, or of ours. */
export function codeOf(cause: unknown): string {
  return String((cause as { code?: unknown } | null)?.code);
}

async function untilItLeads(one: Endpoint, signal: AbortSignal, tell: (one: Endpoint, why: unknown) => void): Promise<Endpoint> {
  for (;;) {
    const why = await whyNotLeading(one);
    if (why === null) return one;
    tell(one, why);
    await sleep(LOOK_EVERY_MS, undefined, { signal });
  }
}

/** Whether one of these leads; their connections are ended. */
async function anyLeads(endpoints: readonly Endpoint[]): Promise<boolean> {
  const looks = endpoints.map(async (one) => {
    if ((await whyNotLeading(one)) !== null) throw new Error("it does not lead");
  });
  const found = await Promise.any(looks).then(
    () => true,
    () => false,
  );
  for (const one of endpoints) one.close();
  return found;
}

/** Null of one that leads. */
async function whyNotLeading(one: Endpoint): Promise<unknown> {
  try {
    const answered = await one.send(LEADER_PATH, { method: "GET", headers: {}, body: null, silenceMs: LOOK_TIMEOUT_MS });
    const text = await textOf(answered);
    return answered.statusCode === 204 ? null : (standbyOf(answered.statusCode, text) ?? new Error(`it answers ${answered.statusCode}`));
  } catch (cause) {
    return cause;
  }
}

/** What a server answered that stands by; null for every other answer. */
export function standbyOf(status: number | undefined, text: string): Fault | null {
  if (status !== 503) return null;
  const report = FaultReport.safeParse(parseJson(text));
  return report.success && report.data.code === STANDBY ? faultFromReport(report.data) : null;
}

/** What the text says as JSON; undefined when it is none. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function isDistrust(cause: unknown): boolean {
  return /CERT|SIGNATURE|ALTNAME/.test(codeOf(cause));
}

function stranger(yard: string): string {
  return `does not prove that it is control of yard ${yard}`;
}

function reasonOf(why: unknown, yard: string): string {
  if (why === undefined) return "no answer";
  if (isFault(why, STANDBY)) return "stands by";
  return isDistrust(why) ? stranger(yard) : why instanceof Error ? why.message : String(why);
}

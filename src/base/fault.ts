/** What a Fault may carry beside its message. */
export interface FaultOptions {
  /** What made this happen; rendered after the message, never inside it. */
  readonly cause?: unknown;
  /** The next step that a person can take, as a full clause ("free space on …, then: boxyard …"). */
  readonly next?: string;
  /** Facts for machines, without secrets. */
  readonly details?: Readonly<Record<string, unknown>>;
}

/**
 * An error that says what we were doing (`message`), what class of trouble it is (`code`, "area.what-is-wrong"),
 * why (`cause`) and what helps (`next`). Code branches on `code`, never on text.
 */
export class Fault extends Error {
  readonly code: string;
  readonly next: string | undefined;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(code: string, message: string, options: FaultOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "Fault";
    this.code = code;
    this.next = options.next;
    this.details = options.details ?? {};
  }
}

/** A fault as it crosses a boundary: the whole chain as one text, and the innermost remedy. */
export interface FaultReport {
  readonly code: string;
  readonly message: string;
  readonly next: string | null;
}

/** Any thrown value as a report: messages of the chain joined by ": ", the deepest `next` wins. */
export function reportFault(thrown: unknown): FaultReport {
  const chain = causeChain(thrown);
  const code = chain.find((error) => error instanceof Fault)?.code ?? "unexpected";
  const next = chain.findLast((error) => error instanceof Fault && error.next !== undefined) as Fault | undefined;
  return { code, message: chain.map(firstMessage).join(": "), next: next?.next ?? null };
}

/** The report turned back into a Fault, at the other end of a boundary. */
export function faultFromReport(report: FaultReport): Fault {
  return new Fault(report.code, report.message, report.next === null ? {} : { next: report.next });
}

/** The report as the CLI and the push print it: the chain, then what to do on a line of its own. */
export function renderFault(thrown: unknown): string {
  const { message, next } = reportFault(thrown);
  return next === null ? message : `${message}\n→ ${next}`;
}

/** Whether the value is a Fault with this code. */
export function isFault(thrown: unknown, code: string): thrown is Fault {
  return thrown instanceof Fault && thrown.code === code;
}

function causeChain(thrown: unknown): unknown[] {
  const chain: unknown[] = [];
  for (let at = thrown; at !== undefined && at !== null && chain.length < 10; at = (at as { cause?: unknown }).cause) chain.push(at);
  return chain.length === 0 ? [thrown] : chain;
}

function firstMessage(thrown: unknown): string {
  // execa puts the whole output into `message`; its `shortMessage` is the part for a chain.
  const short = (thrown as { shortMessage?: unknown }).shortMessage;
  if (typeof short === "string") return short;
  return thrown instanceof Error ? thrown.message : String(thrown);
}

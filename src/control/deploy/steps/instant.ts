import type { Turn } from "../turn.ts";

/** The next instant at which a switch can be asked for. */
export function instantFrom({ context }: Turn): number {
  return context.clock.nowMicros() + context.lead.ms * 1000;
}

/** How long a server that is asked for a switch at this instant may still obey or answer. */
export function answerTimeMs({ context }: Turn, atMicros: number): number {
  return Math.max(0, (atMicros - context.clock.nowMicros()) / 1000 + context.timing.latestMs + context.timing.answerMs);
}

/**
 * Waits until no request of an earlier process can be obeyed any more: one may still wait in a server for its instant, and
 * a decision taken before that could be undone there afterwards.
 */
export async function waitOutEarlierSwitch(turn: Turn): Promise<void> {
  const { switchAtMicros } = turn.deployment;
  if (switchAtMicros === null) return;
  await turn.context.clock.sleep(answerTimeMs(turn, switchAtMicros), turn.context.signal);
}

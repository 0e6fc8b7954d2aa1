export interface StandstillOptions {
  /** A process that gets no turn for longer has stood still. */
  readonly longestMs: number;
  /** Told once for each time, by the clock's next tick or by who asks before it. */
  readonly onStandstill: () => void;
}

const TICKS = 10;

/**
 * Notices that this process has stood still: it was frozen, or its machine gave it no turn. What comes in the moment after
 * may be heard before the clock ticks, so that whoever must not act on what has passed asks first: `check`.
 */
export function watchStandstill({ longestMs, onStandstill }: StandstillOptions): { check(): void; stop(): void } {
  let lastAt = performance.now();
  const check = (): void => {
    const stoodMs = performance.now() - lastAt;
    lastAt = performance.now();
    if (stoodMs > longestMs) onStandstill();
  };
  const timer = setInterval(check, longestMs / TICKS).unref();
  return { check, stop: () => clearInterval(timer) };
}

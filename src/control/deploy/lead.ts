/** Bounds of the lead, and what it begins with. */
export interface LeadBounds {
  readonly firstMs: number;
  readonly shortestMs: number;
  readonly longestMs: number;
}

/** Twice what was needed last time, and this much: a server that gets its request too late switches after the others. */
const SPARE_MS = 5;
/** It never shrinks to less than this part of itself at once: one quick deployment says little of the next. */
const LEAST_PART = 0.7;

/** How far ahead the instant of a switch is agreed: as short as requests have been seen to arrive in time. */
export interface Lead {
  readonly ms: number;
  /** Learns from a switch how long it took, from the agreement on its instant, until the last server was ready for it. */
  learn(neededMs: number): void;
}

export function createLead(bounds: LeadBounds): Lead {
  let ms = bounds.firstMs;
  return {
    get ms() {
      return ms;
    },
    learn: (neededMs) => {
      ms = nextLead(ms, neededMs, bounds);
    },
  };
}

/** Longer at once, shorter in steps. */
export function nextLead(leadMs: number, neededMs: number, { shortestMs, longestMs }: LeadBounds): number {
  const wanted = Math.max(2 * neededMs + SPARE_MS, leadMs * LEAST_PART);
  return Math.round(Math.min(longestMs, Math.max(shortestMs, wanted)));
}

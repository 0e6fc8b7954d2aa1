/** Bounds of the lead, and what it begins with. */
export interface LeadBounds {
  readonly firstMs: number;
  readonly shortestMs: number;
  readonly longestMs: number;
}

/** A switch this late means that its request came after the agreed instant, not that a timer was slow. */
const LATE_MS = 12;

/** How far ahead the instant of a switch is agreed: as short as requests have been seen to arrive in time. */
export interface Lead {
  readonly ms: number;
  /** Learns from a switch how late its last server was. */
  learn(latenessMs: number): void;
}

export function createLead(bounds: LeadBounds): Lead {
  let ms = bounds.firstMs;
  return {
    get ms() {
      return ms;
    },
    learn: (latenessMs) => {
      ms = nextLead(ms, latenessMs, bounds);
    },
  };
}

/** Longer at once by what was missing, shorter in small steps. */
export function nextLead(leadMs: number, latenessMs: number, { shortestMs, longestMs }: LeadBounds): number {
  const wanted = latenessMs > LATE_MS ? leadMs + 1.5 * latenessMs : leadMs * 0.95;
  return Math.round(Math.min(longestMs, Math.max(shortestMs, wanted)));
}

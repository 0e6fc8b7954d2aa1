import { z } from "zod";

/** No build and no hook works for longer, whatever an operator allows. */
const LONGEST_SECONDS = 21_600;

const Seconds = z.int().min(1).max(LONGEST_SECONDS);

/** What builds, hooks and releases of all websites of a yard may take; an operator's choice. */
export const WorkLimits = z.object({
  /** The longest time that a Boxfile may ask for its build. */
  buildSeconds: Seconds,
  /** Of one build; what takes more is ended. */
  buildMemoryMegabytes: z.int().min(128).max(262_144),
  /** Of one build; 1.5 is one and a half. */
  buildProcessors: z.number().min(0.1).max(256),
  buildProcesses: z.int().min(64).max(32_768),
  /** The longest time that a Boxfile may ask for its hooks. */
  hookSeconds: Seconds,
  /** What the files of a release may take on a disk: of a commit, and of what was built of it. */
  releaseMegabytes: z.int().min(1).max(1_048_576),
});
export type WorkLimits = z.infer<typeof WorkLimits>;

/** What holds until an operator decides otherwise. */
export const USUAL_LIMITS: WorkLimits = {
  buildSeconds: 3_600,
  buildMemoryMegabytes: 2_048,
  buildProcessors: 1.5,
  buildProcesses: 1_024,
  hookSeconds: 3_600,
  releaseMegabytes: 2_048,
};

/** The same in a spec, which may be of a control service that knew fewer of them. */
export const LimitsInSpec = WorkLimits.extend({
  releaseMegabytes: WorkLimits.shape.releaseMegabytes.default(USUAL_LIMITS.releaseMegabytes),
}).default(USUAL_LIMITS);

/** No yard allows more: for whoever reads a Boxfile without knowing its yard's limits. */
export const LARGEST_LIMITS: WorkLimits = { ...USUAL_LIMITS, buildSeconds: LONGEST_SECONDS, hookSeconds: LONGEST_SECONDS };

/** How long a build and a hook may take when the Boxfile does not say. */
const USUAL_SECONDS = { buildSeconds: 900, hookSeconds: 600 } as const;

/** How long it may take: as the Boxfile says, or as usual, and never longer than the operator allows. */
export function secondsFor(what: keyof typeof USUAL_SECONDS, asked: number | null, limits: WorkLimits): number {
  return Math.min(asked ?? USUAL_SECONDS[what], limits[what]);
}

/** How builds reach the places that packages come from; an operator's choice, and readable for every build. */
export const PackageSources = z.object({
  /** npm's configuration (see npmrc(5)), for example another registry or a proxy; a website's own .npmrc goes before it. */
  npmrc: z.string().max(16_000),
  /** Certificates (PEM) of authorities that builds trust beside those that everybody does. */
  authorities: z.string().max(64_000),
});
export type PackageSources = z.infer<typeof PackageSources>;

/** Those of a yard whose operator has decided nothing. */
export const NO_SOURCES: PackageSources = { npmrc: "", authorities: "" };

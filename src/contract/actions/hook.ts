import { z } from "zod";
import { action } from "../action.ts";
import { HookName } from "../boxfile.ts";
import { CommitId, WebsiteId } from "../names.ts";

/** `lost` when the server was started anew meanwhile, so that nobody knows how far it came. */
const HookState = z.enum(["running", "done", "failed", "timed-out", "lost"]);

/**
 * On a shell server: begins a release's hook as the website's own user, unless this deployment has begun it already, and
 * tells what it has said since `after`. Asked again and again until it has ended; whoever asks, it runs once.
 */
export const runHook = action("hook.run", {
  summary: "Run a release's hook once for a deployment, and tell how it gets on",
  input: z.object({
    website: WebsiteId,
    release: CommitId,
    deployment: z.int().positive(),
    hook: HookName,
    /** Cursor of an earlier answer: only what came since; null for all. */
    after: z.string().max(500).nullable(),
  }),
  output: z.object({
    state: HookState,
    /** Of a hook that has ended by itself. */
    exitStatus: z.int().nullable(),
    lines: z.array(z.string()),
    cursor: z.string().nullable(),
  }),
  timeoutMs: 10_000,
  idempotent: true,
  faults: ["hook.not-staged", "hook.not-begun", "release.unknown-website"],
});

/**
 * Ends a deployment's hook with all that it has begun, whether or not it still runs, and sees to it that none begins later;
 * when this is answered, nothing of it acts any more.
 */
export const endHook = action("hook.end", {
  summary: "End a deployment's hook, and see to it that it does not begin later",
  input: z.object({ website: WebsiteId, deployment: z.int().positive(), hook: HookName }),
  output: z.object({ ended: z.literal(true) }),
  timeoutMs: 30_000,
  idempotent: true,
  faults: ["hook.not-ended"],
});

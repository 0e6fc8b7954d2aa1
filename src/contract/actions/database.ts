import { z } from "zod";
import { action } from "../action.ts";
import { DatabaseName } from "../names.ts";

const Asked = z.object({ databases: z.array(DatabaseName).min(1).max(100), deployment: z.int().positive() });

/** What is asked again until it has ended. */
const Told = z.object({
  state: z.enum(["running", "done", "failed"]),
  /** Why it failed; null otherwise. */
  why: z.string().nullable(),
  /** What the snapshot needs on the disk, compressed; 0 until it is done. */
  bytes: z.int(),
});

/**
 * On a database server: keeps databases as they are at one moment each, for a deployment that may have to put them back.
 * A later deployment's takes its place. Asked again it tells how far it is.
 */
export const snapshotDatabases = action("database.snapshot", {
  summary: "Keep databases as they are, for a deployment that may have to put them back",
  input: Asked,
  output: Told,
  timeoutMs: 15_000,
  idempotent: true,
  faults: ["database.unknown", "database.no-space"],
});

/** Puts databases back as the deployment's snapshot has them, once however often it is asked; the snapshot stays. */
export const restoreDatabases = action("database.restore", {
  summary: "Put databases back as a deployment's snapshot has them",
  input: Asked,
  output: Told,
  timeoutMs: 15_000,
  idempotent: true,
  faults: ["database.unknown", "database.no-snapshot"],
});

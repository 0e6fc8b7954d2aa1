import { z } from "zod";
import { action, jobAction } from "../action.ts";
import { Role, Timestamp } from "../names.ts";
import { ServerStatus } from "../status.ts";

/** Answers at once: is the server there, and what does its clock say? */
export const ping = action("server.ping", {
  summary: "Answer with the server's clock",
  input: z.object({}),
  output: z.object({ at: Timestamp, generation: z.int() }),
  timeoutMs: 5_000,
  idempotent: true,
  faults: [],
});

/** What the server knows of itself, read now. */
export const facts = action("server.facts", {
  summary: "Tell the server's facts",
  input: z.object({}),
  output: ServerStatus.shape.facts,
  timeoutMs: 5_000,
  idempotent: true,
  faults: [],
  sums: { "os.release": "distribution", "agent.version": "distribution", "memory.available": "range", "load.minute": "range" },
});

/** How far the server is with what it should be. */
export const status = action("server.status", {
  summary: "Tell how far the server is with its spec, and since when its agent runs",
  input: z.object({}),
  output: z.object({
    generation: z.int(),
    targetGeneration: z.int(),
    roles: z.array(Role),
    faults: ServerStatus.shape.faults,
    releases: ServerStatus.shape.releases,
    startedAt: Timestamp,
  }),
  timeoutMs: 5_000,
  idempotent: true,
  faults: [],
});

/** Converges now and answers when the turn has ended. */
export const converge = action("server.converge", {
  summary: "Converge to the server's spec now",
  input: z.object({}),
  output: z.object({ generation: z.int(), faults: z.array(z.object({ resource: z.string(), message: z.string() })) }),
  timeoutMs: 60_000,
  idempotent: true,
  faults: [],
});

/** Restarts the units that wait for it, and answers when the turn has ended. The caller has made sure that no visitor needs them. */
export const restartUnits = action("server.restart-units", {
  summary: "Converge to the server's spec now, with the restarts that wait for their turn",
  input: z.object({}),
  output: converge.output,
  timeoutMs: 240_000,
  idempotent: true,
  faults: [],
});

/** The file system that a path lies on. */
export const disk = action("server.disk", {
  summary: "Tell how full the file system of a path is",
  input: z.object({ path: z.string().startsWith("/", "give an absolute path").max(500).default("/") }),
  output: z.object({ path: z.string(), totalBytes: z.number(), freeBytes: z.number(), usedPercent: z.number() }),
  timeoutMs: 5_000,
  idempotent: true,
  faults: ["server.no-path"],
  sums: { usedPercent: "range", freeBytes: "range" },
});

/** The processes that take the most memory. */
export const processes = action("server.processes", {
  summary: "List the processes that take the most memory",
  input: z.object({ count: z.int().min(1).max(200).default(10) }),
  output: z.object({
    total: z.int(),
    processes: z.array(z.object({ pid: z.int(), user: z.string(), command: z.string(), memoryBytes: z.number(), cpuSeconds: z.number() })),
  }),
  timeoutMs: 10_000,
  idempotent: true,
  faults: [],
  sums: { total: "range" },
});

/** Reads all files once, as backups and visitors will want to. */
export const scrub = jobAction("server.scrub", {
  summary: "Read every file beneath a path once, within its file system, and tell which the disk cannot read",
  input: z.object({
    path: z.string().startsWith("/", "give an absolute path").max(500).default("/srv"),
    /** Leaves the disk to those who need it now. */
    megabytesPerSecond: z.number().min(0.01).max(10_000).default(20),
  }),
  result: z.object({
    files: z.int(),
    bytes: z.number(),
    /** The first of them; long paths are cut. */
    unreadable: z.array(z.object({ path: z.string().max(300), why: z.string().max(200) })).max(100),
  }),
  limitMs: 24 * 3_600_000,
  idempotent: false,
  faults: ["server.no-path", "job.too-many"],
});

import { z } from "zod";
import { action } from "../action.ts";
import { Timestamp } from "../names.ts";

export const agentVersion = action("agent.version", {
  summary: "Tell the agent's version and what it takes",
  input: z.object({}),
  output: z.object({ version: z.string(), node: z.string(), startedAt: Timestamp, memoryBytes: z.number(), cpuSeconds: z.number() }),
  timeoutMs: 5_000,
  idempotent: true,
  faults: [],
  sums: { version: "distribution", memoryBytes: "range", cpuSeconds: "total" },
});

/** Answers first; systemd starts the agent again when it has ended. */
export const agentRestart = action("agent.restart", {
  summary: "Restart the agent; websites are served on meanwhile",
  input: z.object({}),
  output: z.object({ restarting: z.literal(true) }),
  timeoutMs: 5_000,
  idempotent: false,
  faults: [],
});

import { type Logger, pino } from "pino";

export type Log = Logger;

/** The process's log: one JSON object a line on standard output; messages are constants, facts are fields beside them. */
export function openLog(name: string): Log {
  const level = process.env["BOXYARD_LOG_LEVEL"] ?? "info";
  return pino({ name, level, base: { name }, timestamp: pino.stdTimeFunctions.isoTime });
}

/** A log that drops everything, for tests and one-shot commands. */
export function silentLog(): Log {
  return pino({ level: "silent" });
}

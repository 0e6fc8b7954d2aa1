import { Fault } from "#base/fault.ts";
import { runLines } from "#base/run.ts";
import type { tailLog } from "#contract/actions/logs.ts";
import type { StreamHandler } from "#fabric/fabric.ts";
import { readUnit } from "./services.ts";

type Tail = typeof tailLog;

/** Lines that come closer together travel in one message. */
const GATHER_MS = 100;

/** A service's journal as it grows, until the signal aborts. Fault "service.not-here". */
export const followJournal: StreamHandler<Tail["input"], Tail["output"], Tail["part"]> = async ({ service, lines }, { signal, send }) => {
  if ((await readUnit(service)) === null) throw new Fault("service.not-here", `there is no service ${service} on this server`);
  const argv = ["journalctl", "--follow", "--no-pager", "--output=short-iso", `--lines=${lines}`, `--unit=${service}.service`] as const;
  let gathered: string[] = [];
  let sent = 0;
  const pass = (): void => {
    if (gathered.length > 0) send({ lines: gathered });
    sent += gathered.length;
    gathered = [];
  };
  const gathering = setInterval(pass, GATHER_MS);
  try {
    for await (const line of runLines(argv, signal)) gathered.push(line);
  } finally {
    clearInterval(gathering);
    pass();
  }
  return { lines: sent };
};

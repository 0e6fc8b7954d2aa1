import { z } from "zod";
import { Fault } from "#base/fault.ts";
import { readLog } from "#contract/actions/logs.ts";
import { ServerName } from "#contract/names.ts";
import { listServerRows } from "../store/servers.ts";
import { readWebsite } from "../store/websites.ts";
import type { Handler } from "./handler.ts";

const Cursors = z.record(ServerName, z.string().max(100));

export const readLogs: Handler<"readLogs"> = async ({ store, fabric }, { params: { website }, input: { kind, lines, cursors } }) => {
  const { cluster } = await readWebsite(store, website);
  const boxes = (await listServerRows(store)).filter(
    (server) => server.cluster === cluster && server.state === "present" && server.roles.includes("box"),
  );
  const known = parseCursors(cursors);
  const answers = await Promise.all(
    boxes.map(({ name }) => fabric.askAll(readLog, [name], { website, kind, lines, after: known[name] ?? null })),
  );
  const result: { lines: { server: string; line: string }[]; cursors: Record<string, string>; silent: string[] } = {
    lines: [],
    cursors: { ...known },
    silent: [],
  };
  for (const { server, output } of answers.flat()) {
    if (output === undefined) result.silent.push(server);
    else {
      result.lines.push(...output.lines.map((line) => ({ server, line })));
      result.cursors[server] = output.cursor;
    }
  }
  return result;
};

function parseCursors(text: string | undefined): Record<string, string> {
  if (text === undefined) return {};
  try {
    return Cursors.parse(JSON.parse(text));
  } catch (cause) {
    throw new Fault("logs.cursors.invalid", "the cursors are not those of an earlier answer", { cause });
  }
}

import { createConnection } from "node:net";
import { Fault } from "#base/fault.ts";
import { EDGE_PATHS } from "./config.ts";

const TIMEOUT_MS = 10_000;

/** Sends one command to HAProxy's run-time API and gives its answer. A payload follows the command's "<<". */
export function askHaproxy(command: string, payload?: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = createConnection(EDGE_PATHS.socket);
    const chunks: string[] = [];
    socket.setEncoding("utf8");
    socket.setTimeout(TIMEOUT_MS, () => socket.destroy(new Error(`no answer within ${TIMEOUT_MS / 1000} s`)));
    socket.on("data", (chunk: string) => chunks.push(chunk));
    socket.on("end", () => resolve(chunks.join("").trim()));
    socket.on("error", (cause) => reject(new Fault("edge.no-answer", "HAProxy's run-time API does not answer", { cause })));
    socket.write(payload === undefined ? `${command}\n` : `${command} <<\n${payload.trimEnd()}\n\n`);
  });
}

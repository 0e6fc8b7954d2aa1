/**
 * The limit of a request on a yard's own servers. test/bench/peers.ts puts this file into the release that they share:
 *   node plain-in-yard.ts answer BYTES    on each server, in its agent's place: a responder of the NATS library alone
 *   node plain-in-yard.ts ask SERVER…     on the control server, in control's place: prints the median in milliseconds
 * Connections, identities and processes are the yard's; nothing is signed, looked at or stored.
 */
import { readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { silentLog } from "#base/log.ts";
import { ENROLMENT_PATH, Enrolment } from "#contract/enrolment.ts";
import { readSecrets } from "#control/secrets.ts";
import { connectBus } from "#fabric/connection.ts";
import { credentialsForControl } from "#fabric/identity.ts";

const ROUNDS = 30;
const WARM_UP_ROUNDS = 5;
const PAUSE_MS = 1_000;
/** Of a signed request to ping. */
const REQUEST_BYTES = 560;

const { server: name, brokers, caPem, credentials } = Enrolment.parse(JSON.parse(await readFile(ENROLMENT_PATH, "utf8")));
const [role, ...rest] = process.argv.slice(2);
if (role === "answer") await answer(rest[0] ?? "");
else console.log(await ask(rest));

async function answer(bytes: string): Promise<void> {
  const connection = await connectBus({ brokers, credentials, caPem, name, log: silentLog() });
  connection.subscribe(`request.${name}.>`, { callback: (_, message) => void message.respond(bytes) });
}

async function ask(servers: readonly string[]): Promise<string> {
  const own = await credentialsForControl((await readSecrets()).keys);
  const connection = await connectBus({ brokers, credentials: own, caPem, name: "control", log: silentLog() });
  let missing = 0;
  let resolve = (): void => undefined;
  connection.subscribe("_ANSWER.plain.*", {
    callback: (_, { headers }) => {
      if (headers?.code === 503) throw new Error("a server does not listen");
      if (--missing === 0) resolve();
    },
  });
  const body = "x".repeat(REQUEST_BYTES);
  const times: number[] = [];
  for (let round = 0; round < WARM_UP_ROUNDS + ROUNDS; round++) {
    await sleep(PAUSE_MS);
    const startedAt = performance.now();
    missing = servers.length;
    const all = new Promise<void>((done) => {
      resolve = done;
    });
    for (const server of servers) connection.publish(`request.${server}.server.ping`, body, { reply: `_ANSWER.plain.${server}` });
    await all;
    if (round >= WARM_UP_ROUNDS) times.push(performance.now() - startedAt);
  }
  await connection.close();
  return (times.sort((a, b) => a - b)[ROUNDS / 2] ?? Number.NaN).toFixed(1);
}

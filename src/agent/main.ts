/** The agent of a server: `node src/agent/main.ts`, as root, on a server that has been enrolled. */
import { readFile } from "node:fs/promises";
import { setFlagsFromString } from "node:v8";
import { writeFileAtomic } from "#base/atomic-file.ts";
import { openLog } from "#base/log.ts";
import { ENROLMENT_PATH, Enrolment } from "#contract/enrolment.ts";
import { connectAgent } from "#fabric/agent.ts";
import { Agent } from "./agent.ts";

const DIRECTORY = "/var/lib/boxyard/agent";

// An agent is asked once in a while. V8 forgets what it has compiled and has not used for so long: it would be slow each time. And its
// optimizing compilers work beside the first hundreds of requests for what a server's whole day would not give back.
for (const flag of ["--no-flush-bytecode", "--no-maglev", "--no-turbofan", "--single-threaded-gc"]) setFlagsFromString(flag);

const log = openLog("agent");
const enrolment = Enrolment.parse(JSON.parse(await readFile(ENROLMENT_PATH, "utf8")));
const end = (): void => void agent.stop().then(() => process.exit(0));
const keepEnrolment = (kept: Enrolment): Promise<void> => writeFileAtomic(ENROLMENT_PATH, JSON.stringify(kept), { mode: 0o600 });
const fabric = connectAgent(enrolment, { log, directory: DIRECTORY, keepEnrolment });
const agent = new Agent(enrolment, fabric, { log, restart: end });
for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, end);
await agent.start();
log.info({ server: enrolment.server }, "agent started");

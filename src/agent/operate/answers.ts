import { agentRestart, agentVersion } from "#contract/actions/agent.ts";
import { tailLog } from "#contract/actions/logs.ts";
import { disk, facts, processes, scrub } from "#contract/actions/server.ts";
import { serviceRestart, serviceStatus } from "#contract/actions/service.ts";
import type { Timestamp } from "#contract/names.ts";
import type { AgentFabric } from "#fabric/fabric.ts";
import { readFacts, readVersion } from "../facts.ts";
import { readDisk, readProcesses } from "./host.ts";
import { followJournal } from "./journal.ts";
import { scrubFiles } from "./scrub.ts";
import { restartService, serviceState } from "./services.ts";

/** An answer must be on its way before the process that gives it ends. */
const RESTART_DELAY_MS = 200;

/** Answers what operators ask of any server, whatever its roles. */
export function answerOperators(fabric: AgentFabric, { startedAt, restart }: { startedAt: Timestamp; restart: () => void }): void {
  fabric.answer(facts, () => readFacts());
  fabric.answer(disk, ({ path }) => readDisk(path));
  fabric.answer(processes, ({ count }) => readProcesses(count));
  fabric.answer(serviceStatus, ({ service }) => serviceState(service));
  fabric.answer(serviceRestart, ({ service }) => restartService(service));
  fabric.answerInParts(tailLog, followJournal);
  fabric.answerWithJob(scrub, scrubFiles);
  fabric.answer(agentVersion, async () => {
    const { user, system } = process.cpuUsage();
    const memoryBytes = process.memoryUsage.rss();
    return { version: await readVersion(), node: process.version, startedAt, memoryBytes, cpuSeconds: (user + system) / 1e6 };
  });
  fabric.answer(agentRestart, async () => {
    setTimeout(restart, RESTART_DELAY_MS);
    return { restarting: true as const };
  });
}

import { Fault } from "#base/fault.ts";
import type { CommitId, WebsiteId } from "#contract/names.ts";
import { isQuestion, type QuestionName, questions } from "#contract/question.ts";
import type { ServerSpec } from "#contract/spec/server.ts";
import type { ServerStatus } from "#contract/status.ts";
import type { Asked, TargetView, Value } from "#fabric/targets/match.ts";
import { readDisk } from "./host.ts";
import { readUnit } from "./services.ts";

export interface ServerKnowledge {
  readonly server: string;
  readonly spec: ServerSpec | null;
  readonly facts: ServerStatus["facts"];
  readonly releases: Readonly<Record<WebsiteId, CommitId | null>>;
}

/** This server as a target sees it, with its live answers. */
export function targetView({ server, spec, facts, releases }: ServerKnowledge): TargetView {
  const { box, shell, cache } = spec?.roles ?? {};
  const cluster = (box ?? shell ?? cache)?.cluster;
  const websites = [...(box?.websites ?? []), ...(shell?.websites ?? [])].map(({ id }) => id);
  return {
    name: server,
    labels: new Set([...Object.keys(spec?.roles ?? {}), ...(cluster === undefined ? [] : [cluster]), ...websites]),
    facts,
    ask: (question) => answerQuestion(question, releases),
  };
}

type Answers = Readonly<Record<string, Value | null>>;

/** Null for what this server does not have; Fault "target.unknown-question" for what nobody can answer. */
async function answerQuestion({ name, args, field }: Asked, releases: ServerKnowledge["releases"]): Promise<Value | null> {
  if (!isQuestion(name)) throw new Fault("target.unknown-question", `${name}(…) is no question`);
  const declared = questions[name];
  const [argument] = declared.args.parse(args);
  const answers = await readers[name](argument, releases);
  return answers?.[field ?? declared.main] ?? null;
}

const readers: {
  readonly [Q in QuestionName]: (argument: string, releases: ServerKnowledge["releases"]) => Promise<Answers | null>;
} = {
  service: async (unit) => {
    const found = await readUnit(unit);
    return found && { active: found.isActive, state: found.state, restarts: found.restarts };
  },
  disk: async (path) => {
    const found = await readDisk(path).catch(() => null);
    return found && { free: found.freeBytes, size: found.totalBytes, used: found.usedPercent };
  },
  release: async (website, releases) => ({ commit: releases[website] ?? null }),
};

import { Fault } from "#base/fault.ts";
import type { ServerName, WebsiteId } from "#contract/names.ts";
import { isQuestion, type Question, questions } from "#contract/question.ts";
import type { Target } from "#contract/target.ts";
import type { ControlFabric } from "#fabric/fabric.ts";
import { type Asked, factsOf, matches, namesOf, questionsOf, type TargetView } from "#fabric/targets/match.ts";
import { parseTarget } from "#fabric/targets/parse.ts";
import type { Store } from "../store/schema.ts";
import { listServerRows, type ServerRow } from "../store/servers.ts";
import { listWebsiteRows } from "../store/websites.ts";

/** Where targets are resolved. */
export interface ResolveContext {
  readonly store: Store;
  readonly fabric: Pick<ControlFabric, "registry">;
}

/** Servers of a target. */
export interface Resolved {
  readonly servers: readonly ServerName[];
  /** Set when each server has to decide by itself whether it is meant. */
  readonly select?: Target;
}

/** A server with what it is called by and what was last heard of it. */
export interface KnownServer {
  readonly row: ServerRow;
  readonly websites: readonly WebsiteId[];
  readonly view: TargetView;
}

/**
 * The servers that a target expression means. With `broadcast`, or when it asks live questions, all servers that the
 * questions could concern, who then decide by themselves. Faults: "target.invalid", "target.unknown".
 */
export async function resolveTarget(context: ResolveContext, expression: string, { broadcast = false } = {}): Promise<Resolved> {
  const target = parseTarget(expression);
  const known = await knownServers(context);
  refuseUnknown(target, known);
  const isDecidedThere = broadcast || target.kind === "all" || questionsOf(target).length > 0;
  if (isDecidedThere) return { servers: known.map(({ row }) => row.name), select: target };
  return { servers: (await filterServers(known, target)).map(({ row }) => row.name) };
}

/** Servers of a target with what is known of them, for people. */
export async function findServers(context: ResolveContext, expression: string): Promise<KnownServer[]> {
  const target = parseTarget(expression);
  const known = await knownServers(context);
  refuseUnknown(target, known);
  return filterServers(known, target);
}

async function filterServers(known: readonly KnownServer[], target: Target): Promise<KnownServer[]> {
  const areMeant = await Promise.all(known.map(({ view }) => matches(target, view)));
  return known.filter((_, index) => areMeant[index]);
}

/** Every server that should be there, silent ones too. */
async function knownServers({ store, fabric }: ResolveContext): Promise<KnownServer[]> {
  const [rows, websites] = await Promise.all([listServerRows(store), listWebsiteRows(store)]);
  const registry = fabric.registry();
  return rows
    .filter(({ state }) => state === "present")
    .map((row) => {
      const carries = row.roles.includes("box") || row.roles.includes("shell");
      const carried = carries ? websites.filter(({ cluster }) => cluster === row.cluster).map(({ id }) => id) : [];
      const labels = new Set<string>([...row.roles, ...(row.cluster === null ? [] : [row.cluster]), ...carried]);
      return { row, websites: carried, view: { name: row.name, labels, facts: registry.get(row.name)?.facts ?? {} } };
    });
}

/** A misspelt word means no server, and must not look as if all were well. */
function refuseUnknown(target: Target, known: readonly KnownServer[]): void {
  const labels = new Set(known.flatMap(({ view }) => [view.name, ...view.labels]));
  const name = namesOf(target).find((one) => !one.includes("*") && !labels.has(one));
  if (name !== undefined)
    throw new Fault("target.unknown", `“${name}” is no server, role, cluster or website of this yard`, {
      next: "see which there are: boxyard server list",
    });
  const facts = new Set(["name", ...known.flatMap(({ view }) => Object.keys(view.facts))]);
  const fact = factsOf(target).find((one) => !facts.has(one));
  if (fact !== undefined)
    throw new Fault("target.unknown", `no server has a fact “${fact}”`, { next: "see which there are: boxyard find c1b1 --json" });
  for (const question of questionsOf(target)) refuseUnknownQuestion(question);
}

function refuseUnknownQuestion({ name, args, field }: Asked): void {
  if (!isQuestion(name))
    throw new Fault("target.unknown", `“${name}(…)” is no question`, { next: `there are: ${Object.keys(questions).join(", ")}` });
  const declared: Question = questions[name];
  const checked = declared.args.safeParse(args);
  if (!checked.success) throw new Fault("target.invalid", `${name}(${args.join(", ")}): ${checked.error.issues[0]?.message}`);
  const fields = Object.keys(declared.answer.shape);
  if (field !== null && !fields.includes(field))
    throw new Fault("target.unknown", `${name}(…) has no “${field}”`, { next: `it has: ${fields.join(", ")}` });
}

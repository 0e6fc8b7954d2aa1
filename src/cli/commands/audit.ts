import { type Command, Option } from "commander";
import { auditRoutes } from "#contract/api/audit.ts";
import type { AuditEntry } from "#contract/audit.ts";
import { declare, wholeNumber } from "../command.ts";
import { renderTable } from "../render/table.ts";

/** `boxyard audit`. */
export function auditCommand(): Command {
  return declare<[], { last: number }, AuditEntry[]>({
    usage: "audit",
    summary: "Who changed what, who asked which servers for what, and how it ended; entries are never changed",
    examples: ["audit", "audit --last 500 --json"],
    options: (command) => command.addOption(new Option("--last <n>", "so many of the newest").argParser(wholeNumber).default(50)),
    run: ({ client, options: { last } }) => client.call(auditRoutes.audit, { input: { last } }),
    render: (entries) =>
      renderTable(entries, [
        { title: "at", show: ({ at }) => at.slice(0, 19).replace("T", " ") },
        { title: "who", show: ({ caller }) => caller },
        { title: "request", show: ({ request }) => request.slice(0, 8) },
        { title: "action", show: ({ action }) => action },
        { title: "target", show: ({ target }) => target || "all" },
        { title: "", show: describe },
      ]),
  });
}

function describe({ kind, details }: AuditEntry): string {
  if (kind === "refused") return `refused${(details.count ?? 1) > 1 ? ` ${details.count} ×` : ""}: ${details.fault}`;
  const whom = details.servers === undefined ? "" : `${details.servers.length} servers `;
  if (kind === "asked") return `asks ${whom}${JSON.stringify(details.input ?? {})}`;
  if (details.answered === undefined) return details.fault === undefined ? "done" : `failed: ${details.fault.split("\n")[0]}`;
  const left = [...(details.failed ?? []).map((name) => `${name} failed`), ...(details.notAsked ?? []).map((name) => `${name} not asked`)];
  return [`ended: ${details.answered} answered`, ...left].join(", ");
}

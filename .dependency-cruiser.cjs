// Who may import whom: the table of ARCHITECTURE.md as a check.
const parts = {
  base: [],
  contract: [],
  fabric: ["base", "contract"],
  cloud: ["base", "contract"],
  agent: ["base", "contract", "fabric"],
  control: ["base", "contract", "fabric", "cloud"],
  cli: ["base", "contract"],
};
const part = (name) => `^src/${name}/`;
const tests = "\\.test\\.ts$|^test/";

module.exports = {
  forbidden: [
    ...Object.entries(parts).map(([name, uses]) => ({
      name: `${name}-may-use-only-${uses.join("-") || "itself"}`,
      severity: "error",
      from: { path: part(name), pathNot: `${tests}|^src/cli/host/` },
      to: { path: "^src/", pathNot: [name, ...uses].map(part) },
    })),
    {
      name: "bootstrap-may-also-use-cloud",
      severity: "error",
      from: { path: "^src/cli/host/" },
      to: { path: "^src/", pathNot: ["cli", "base", "contract", "cloud"].map(part) },
    },
    {
      name: "contract-reaches-only-zod",
      severity: "error",
      from: { path: part("contract"), pathNot: tests },
      to: { dependencyTypes: ["core", "npm"], pathNot: "node_modules/(zod|yaml)/" },
    },
    {
      name: "planner-is-pure",
      severity: "error",
      from: { path: "^src/control/plan/", pathNot: tests },
      to: { dependencyTypes: ["core", "npm"] },
    },
    {
      name: "sql-lives-in-store",
      severity: "error",
      from: { pathNot: `^src/control/store/|${tests}` },
      to: { path: "node_modules/(kysely|pg)/" },
    },
    {
      name: "agent-never-reaches-the-database",
      severity: "error",
      from: { path: "^src/agent/main\\.ts$" },
      to: { reachable: true, path: "node_modules/(pg|kysely|pg-boss|hono)/" },
    },
    {
      name: "roles-do-not-know-each-other",
      severity: "error",
      from: { path: "^src/agent/roles/([^/]+)/" },
      to: { path: "^src/agent/roles/[^/]+/", pathNot: "^src/agent/roles/$1/" },
    },
    { name: "harness-only-from-tests", severity: "error", from: { path: "^src/", pathNot: tests }, to: { path: "^test/" } },
    { name: "no-circles", severity: "error", from: {}, to: { circular: true } },
  ],
  options: { doNotFollow: { path: "node_modules" }, tsPreCompilationDeps: true, tsConfig: { fileName: "tsconfig.json" } },
};

import type { Command } from "commander";

/** Where each command is, in the order of the help. */
const modules: readonly { readonly names: readonly string[]; readonly load: () => Promise<Command | Command[]> }[] = [
  { names: ["status", "ca"], load: async () => (await import("./commands/status.ts")).yardCommands() },
  { names: ["ping"], load: async () => (await import("./commands/ping.ts")).pingCommand() },
  { names: ["find", "facts"], load: async () => (await import("./commands/find.ts")).findCommands() },
  { names: ["do"], load: async () => (await import("./commands/do.ts")).doCommand() },
  { names: ["actions"], load: async () => (await import("./commands/actions.ts")).actionsCommand() },
  { names: ["jobs"], load: async () => (await import("./commands/jobs.ts")).jobsCommand() },
  { names: ["governor"], load: async () => (await import("./commands/governor.ts")).governorCommand() },
  { names: ["limits", "packages"], load: async () => (await import("./commands/settings.ts")).settingsCommands() },
  { names: ["person"], load: async () => (await import("./commands/person.ts")).personCommand() },
  { names: ["policy"], load: async () => (await import("./commands/policy.ts")).policyCommand() },
  { names: ["events"], load: async () => (await import("./commands/events.ts")).eventsCommand() },
  { names: ["audit"], load: async () => (await import("./commands/audit.ts")).auditCommand() },
  { names: ["server"], load: async () => (await import("./commands/server.ts")).serverCommand() },
  { names: ["cluster"], load: async () => (await import("./commands/cluster.ts")).clusterCommand() },
  { names: ["website"], load: async () => (await import("./commands/website.ts")).websiteCommand() },
  { names: ["domain"], load: async () => (await import("./commands/domain.ts")).domainCommand() },
  { names: ["key"], load: async () => (await import("./commands/key.ts")).keyCommand() },
  { names: ["deploy", "rollback"], load: async () => (await import("./commands/deployment.ts")).deployCommands() },
  { names: ["deployment"], load: async () => (await import("./commands/deployment.ts")).deploymentCommand() },
  { names: ["logs"], load: async () => (await import("./commands/logs.ts")).logsCommand() },
  { names: ["up"], load: async () => (await import("./commands/up.ts")).upCommand() },
  { names: ["down"], load: async () => (await import("./commands/down.ts")).downCommand() },
];

/** The command that a command line names; all of them when it names none, since help then tells of them. */
export async function loadCommands(argv: readonly string[]): Promise<Command[]> {
  const name = commandOf(argv);
  const named = modules.filter(({ names }) => name !== undefined && names.includes(name));
  const loaded = await Promise.all((named.length > 0 ? named : modules).map(({ load }) => load()));
  return loaded.flat();
}

/** The first word that is neither an option nor the yard's name. */
function commandOf(argv: readonly string[]): string | undefined {
  return argv.find((word, index) => !word.startsWith("-") && argv[index - 1] !== "--yard");
}

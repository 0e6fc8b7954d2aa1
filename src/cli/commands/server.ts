import type { Command } from "commander";
import { reportFault } from "#base/fault.ts";
import { type Server, serverRoutes } from "#contract/api/servers.ts";
import { declare, group } from "../command.ts";
import { confirmDelete } from "../confirm.ts";
import { renderTable } from "../render/table.ts";

/** `boxyard server …`. */
export function serverCommand(): Command {
  const list = declare({
    usage: "list",
    summary: "All servers with their state; what is not ready says why",
    examples: ["server list", "server list --json"],
    next: ["ping c1b1                whether a server answers now"],
    run: ({ client }) => client.call(serverRoutes.listServers),
    render: renderServers,
  });
  return group("server", "The yard's servers", [list, renew(), revoke(), readmit()]);
}

interface Renewed {
  readonly server: string;
  readonly error: string | null;
}

function renew(): Command {
  return declare<[string[]], object, Renewed[]>({
    usage: "renew <target...>",
    summary: "Change the keys by which servers join the bus, one server after the other, without a gap",
    examples: ["server renew c1b1", "server renew all"],
    next: ["audit      keys are renewed by themselves, too, every 30 days"],
    run: async ({ client, args: [target], progress }) => {
      const renewed: Renewed[] = [];
      for (const { name: server } of await client.call(serverRoutes.findServers, { input: { target: target.join(" ") } })) {
        const error = await client.call(serverRoutes.renewServer, { params: { server } }).then(
          () => null,
          (thrown: unknown) => reportFault(thrown).message,
        );
        progress(error ?? `${server} has a new key`);
        renewed.push({ server, error });
      }
      return renewed;
    },
    render: (renewed) => `${renewed.filter(({ error }) => error === null).length} of ${renewed.length} servers have a new key`,
    exitCode: (renewed) => (renewed.some(({ error }) => error !== null) ? 1 : 0),
  });
}

function revoke(): Command {
  return declare<[string], { yes?: boolean }, { server: string }>({
    usage: "revoke <server>",
    summary: "Cut a server off from the bus at once, when it may be in wrong hands; websites on it go on being served",
    examples: ["server revoke c1b2", "server revoke c1b2 --yes"],
    next: ["server readmit c1b2        when it can be trusted again"],
    options: (command) => command.option("--yes", "do not ask"),
    run: async ({ client, args: [server], options }) => {
      await confirmDelete(`all credentials of ${server}`, server, options);
      return client.call(serverRoutes.revokeServer, { params: { server } });
    },
    render: ({ server }) => `${server} is cut off; boxyard server readmit ${server} takes it back`,
  });
}

function readmit(): Command {
  return declare<[string], object, { server: string }>({
    usage: "readmit <server>",
    summary: "Give a server that was cut off new credentials, through the cloud",
    examples: ["server readmit c1b2"],
    run: ({ client, args: [server] }) => client.call(serverRoutes.readmitServer, { params: { server } }),
    render: ({ server }) => `${server} has new credentials; boxyard ping ${server} tells when it is back`,
  });
}

/** Servers as people see them. */
export function renderServers(servers: readonly Server[]): string {
  return renderTable(servers, [
    { title: "name", show: ({ name }) => name },
    { title: "roles", show: ({ roles }) => roles.join(",") },
    { title: "cluster", show: ({ cluster }) => cluster ?? "-" },
    { title: "address", show: ({ address }) => address },
    { title: "state", show: ({ state }) => state },
    {
      title: "generation",
      show: ({ generation, targetGeneration }) =>
        generation === targetGeneration ? String(generation) : `${generation} of ${targetGeneration}`,
    },
    { title: "", show: ({ reason }) => reason ?? "" },
  ]);
}

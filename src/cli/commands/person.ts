import { type Command, Option } from "commander";
import { writeFileAtomic } from "#base/atomic-file.ts";
import { personRoutes } from "#contract/api/people.ts";
import type { Person } from "#contract/policy.ts";
import { type AccessFile, accessOf } from "../access.ts";
import { declare, group, yardOf } from "../command.ts";
import { confirmDelete } from "../confirm.ts";
import { renderTable } from "../render/table.ts";

interface RoleOptions {
  readonly role: string[];
}

interface AccessOptions {
  readonly access?: string;
}

interface WithAccess {
  readonly person: Person;
  readonly access: AccessFile;
  /** Where the access was written to. */
  readonly file: string | null;
}

const ROLE = () =>
  new Option("--role <name>", "operator, or a role that a rule is for; may be given more than once")
    .argParser(collect)
    .makeOptionMandatory();
const ACCESS = ["--access <file>", "write the access to a file that only you can read, instead of printing it"] as const;

/** `boxyard person …`. */
export function personCommand(): Command {
  return group("person", "People who may use this yard with rights of their own", [list(), add(), set(), token(), remove()]);
}

function list(): Command {
  return declare<[], object, Person[]>({
    usage: "list",
    summary: "Everyone but the operator that bin/up has made",
    examples: ["person list"],
    run: ({ client }) => client.call(personRoutes.listPeople),
    render: renderPeople,
  });
}

function add(): Command {
  const command: Command = declare<[string], RoleOptions & AccessOptions, WithAccess>({
    usage: "add <name>",
    summary: "Add a person and make their access; it is told once",
    examples: [
      "policy allow caches 'service.*' --on cache",
      "person add anna --role caches --access anna.json",
      "person add ben --role operator --access ben.json",
    ],
    next: ["ping       as that person: BOXYARD_ACCESS=anna.json boxyard ping"],
    options: (made) => made.addOption(ROLE()).option(...ACCESS),
    run: async ({ client, args: [name], options: { role, access } }) =>
      handOver(yardOf(command), await client.call(personRoutes.addPerson, { input: { name, roles: role } }), access),
    render: renderAccess,
  });
  return command;
}

function set(): Command {
  return declare<[string], RoleOptions, Person>({
    usage: "set <name>",
    summary: "Set a person's roles",
    examples: ["person set anna --role caches --role boxes"],
    options: (made) => made.addOption(ROLE()),
    run: ({ client, args: [person], options: { role } }) =>
      client.call(personRoutes.changePerson, { params: { person }, input: { roles: role } }),
    render: (person) => renderPeople([person]),
  });
}

function token(): Command {
  const command: Command = declare<[string], AccessOptions, WithAccess>({
    usage: "token <name>",
    summary: "Give a person a new access; the old one is worth nothing from now on",
    examples: ["person token anna --access anna.json"],
    options: (made) => made.option(...ACCESS),
    run: async ({ client, args: [person], options: { access } }) =>
      handOver(yardOf(command), await client.call(personRoutes.renewToken, { params: { person } }), access),
    render: renderAccess,
  });
  return command;
}

function remove(): Command {
  return declare<[string], { yes?: boolean }, { name: string }>({
    usage: "remove <name>",
    summary: "Take all rights from a person; what they have under way is cancelled",
    examples: ["person remove anna"],
    options: (made) => made.option("--yes", "do not ask"),
    run: async ({ client, args: [person], options }) => {
      await confirmDelete(`person ${person}`, person, options);
      return client.call(personRoutes.removePerson, { params: { person } });
    },
    render: ({ name }) => `Removed ${name}`,
  });
}

async function handOver(yard: string, { person, token }: { person: Person; token: string }, file: string | undefined): Promise<WithAccess> {
  const access = { ...(await accessOf(yard)), token };
  if (file !== undefined) await writeFileAtomic(file, `${JSON.stringify(access, null, 2)}\n`, { mode: 0o600 });
  return { person, access, file: file ?? null };
}

function renderAccess({ person, access, file }: WithAccess): string {
  return file === null ? JSON.stringify(access, null, 2) : `${file} is the access of ${person.name}: BOXYARD_ACCESS=${file} boxyard ping`;
}

function renderPeople(people: readonly Person[]): string {
  return renderTable(people, [
    { title: "name", show: ({ name }) => name },
    { title: "roles", show: ({ roles }) => roles.join(", ") },
    { title: "added", show: ({ addedAt }) => addedAt.slice(0, 10) },
  ]);
}

function collect(value: string, before: string[] = []): string[] {
  return [...before, value];
}

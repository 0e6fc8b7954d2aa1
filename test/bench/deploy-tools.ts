import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";

/** A tool that deploys what the repository's branch `main` has to all boxes over ssh. */
export interface Tool {
  readonly name: string;
  /** Where it deploys to on a box; the live release is `current` in it. */
  readonly directory: string;
  /** Its exit status. */
  deploy(): Promise<number>;
}

export interface Surroundings {
  readonly scratch: string;
  /** The private key that root's accounts and the repository take. */
  readonly key: string;
  readonly gitUrl: string;
  readonly addresses: readonly string[];
}

/** As many old releases as Boxyard keeps. */
const KEPT = 5;
const LIMIT_MS = 180_000;

const SSH_OPTIONS = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "ConnectTimeout=4", "BatchMode=yes"];

/** ssh with the key, for a machine that is thrown away. */
export function sshCommand(key: string): string[] {
  return ["ssh", "-i", key, ...SSH_OPTIONS.flatMap((option) => ["-o", option])];
}

/** The parallel ssh loop, Capistrano and Ansible, each set up as its documentation says. */
export async function tools(where: Surroundings): Promise<Tool[]> {
  return [sshLoop(where), await capistrano(where), await ansible(where)];
}

/** One ssh to each box at the same time: fetch, unpack beside, rename a link, remove old ones. */
function sshLoop({ key, gitUrl, addresses }: Surroundings): Tool {
  const directory = "/srv/peer-loop";
  const script = [
    "set -e",
    `mkdir -p ${directory}/releases ${directory}/shared && cd ${directory}`,
    `[ -d repo.git ] || git clone -q --mirror ${gitUrl} repo.git`,
    "git -C repo.git fetch -q",
    "commit=$(git -C repo.git rev-parse main)",
    'mkdir -p "releases/$commit" && git -C repo.git archive "$commit" | tar x -C "releases/$commit"',
    'ln -sfn ../../shared "releases/$commit/shared-files"',
    'ln -sfn "releases/$commit" next && mv -T next current',
    `ls -1td releases/*/ | tail -n +${KEPT + 1} | xargs -r rm -rf`,
  ].join("\n");
  const [ssh = "ssh", ...args] = sshCommand(key);
  const one = (address: string) => execa(ssh, [...args, `root@${address}`, script], { reject: false, timeout: LIMIT_MS, stdin: "ignore" });
  return {
    name: "ssh loop",
    directory,
    deploy: async () => {
      // As a shell's `wait` has it: what became of each is nobody's business.
      await Promise.all(addresses.map(one));
      return 0;
    },
  };
}

async function capistrano({ scratch, key, gitUrl, addresses }: Surroundings): Promise<Tool> {
  const [directory, home] = ["/srv/peer-capistrano", join(scratch, "capistrano")];
  await mkdir(join(home, "config/deploy"), { recursive: true });
  const needs = ["capistrano/setup", "capistrano/deploy", "capistrano/scm/git"].map((name) => `require "${name}"`);
  await writeFile(join(home, "Capfile"), [...needs, "install_plugin Capistrano::SCM::Git", ""].join("\n"));
  const settings = {
    application: '"site"',
    repo_url: JSON.stringify(gitUrl),
    branch: '"main"',
    deploy_to: JSON.stringify(directory),
    linked_dirs: '["shared-files"]',
    keep_releases: String(KEPT),
    ssh_options: `{ user: "root", keys: ["${key}"], keys_only: true, auth_methods: ["publickey"], verify_host_key: :never, config: false }`,
  };
  const lines = Object.entries(settings).map(([name, value]) => `set :${name}, ${value}`);
  await writeFile(join(home, "config/deploy.rb"), `${lines.join("\n")}\n`);
  const servers = addresses.map((address) => `server "${address}", user: "root", roles: %w[web]`);
  await writeFile(join(home, "config/deploy/all.rb"), `${servers.join("\n")}\n`);
  return { name: "Capistrano", directory, deploy: () => run("cap", ["all", "deploy"], home) };
}

async function ansible({ scratch, key, gitUrl, addresses }: Surroundings): Promise<Tool> {
  const [directory, home] = ["/srv/peer-ansible", join(scratch, "ansible")];
  await mkdir(join(home, "sockets"), { recursive: true });
  const variables = [`ansible_user=root`, `ansible_ssh_private_key_file=${key}`, "ansible_python_interpreter=/usr/bin/python3"];
  await writeFile(join(home, "hosts"), ["[web]", ...addresses, "[web:vars]", ...variables, ""].join("\n"));
  const options = ["ControlMaster=auto", "ControlPersist=60s", ...SSH_OPTIONS].map((option) => `-o ${option}`).join(" ");
  const sections = ["[defaults]", "inventory = hosts", "host_key_checking = False", "forks = 16"];
  const connection = ["[ssh_connection]", "pipelining = True", `control_path_dir = ${join(home, "sockets")}`, `ssh_args = ${options}`, ""];
  await writeFile(join(home, "ansible.cfg"), [...sections, ...connection].join("\n"));
  const release = `${directory}/releases/{{ commit.stdout }}`;
  const tasks = [
    { "ansible.builtin.git": { repo: gitUrl, dest: `${directory}/repo.git`, bare: true, version: "main", accept_hostkey: true } },
    { "ansible.builtin.command": `git -C ${directory}/repo.git rev-parse main`, register: "commit", changed_when: false },
    { "ansible.builtin.file": { path: "{{ item }}", state: "directory" }, loop: [release, `${directory}/shared`] },
    { "ansible.builtin.shell": `git -C ${directory}/repo.git archive {{ commit.stdout }} | tar -x -C ${release}` },
    { "ansible.builtin.file": { src: `${directory}/shared`, dest: `${release}/shared-files`, state: "link", force: true } },
    { "ansible.builtin.file": { src: release, dest: `${directory}/current`, state: "link" } },
    { "ansible.builtin.shell": `ls -1td ${directory}/releases/*/ | tail -n +${KEPT + 1} | xargs -r rm -rf` },
  ];
  // JSON is YAML.
  await writeFile(join(home, "deploy.yml"), JSON.stringify([{ hosts: "web", gather_facts: false, tasks }]));
  return { name: "Ansible", directory, deploy: () => run("ansible-playbook", ["deploy.yml"], home) };
}

async function run(program: string, args: readonly string[], cwd: string): Promise<number> {
  const result = await execa(program, args, { cwd, reject: false, timeout: LIMIT_MS, stdin: "ignore" });
  if (result.exitCode !== 0) console.error(`${result.stdout}\n${result.stderr}`.split("\n").slice(-8).join("\n"));
  return result.exitCode ?? -1;
}

import { setTimeout as sleep } from "node:timers/promises";
import { Fault } from "#base/fault.ts";
import { type Argv, run } from "#base/run.ts";
import { findAccount, findGroup } from "./accounts.ts";
import { asAccount } from "./as-account.ts";
import type { Resource } from "./resource.ts";

export interface UserWant {
  readonly name: string;
  /** User id, and id of the group of the same name. */
  readonly uid: number;
  readonly home: string;
  readonly shell: string;
}

/** Below are root and the system's own accounts. */
const FIRST_UID = 1_000;

/** How often it is looked whether processes have ended, and how long after their end was asked for. */
const [ROUNDS, ROUND_MS] = [40, 50];

/** Commands of Debian's passwd package. */
const accounts = {
  addGroup: (name: string, gid: number): Argv => ["groupadd", "--gid", String(gid), "--", name],
  addUser: ({ name, uid, home, shell }: UserWant): Argv => [
    "useradd",
    "--uid",
    String(uid),
    "--gid",
    String(uid),
    "--no-create-home",
    "--home-dir",
    home,
    "--shell",
    shell,
    "--no-log-init",
    "--",
    name,
  ],
  changeUser: ({ name, home, shell }: UserWant): Argv => ["usermod", "--home", home, "--shell", shell, "--", name],
  addMember: (name: string, group: string): Argv => ["usermod", "--append", "--groups", group, "--", name],
  removeUser: (name: string): Argv => ["userdel", "--", name],
  removeGroup: (name: string): Argv => ["groupdel", "--", name],
};

/** A Unix account with its own group; without a password, so that only keys open it. */
export function user(want: UserWant): Resource {
  return {
    id: `user ${want.name}`,
    mismatch: async () => {
      const have = await findAccount(want.name);
      if (have === null) return "is missing";
      if (have.uid !== want.uid) return `has id ${have.uid}, not ${want.uid}`;
      return have.home === want.home && have.shell === want.shell ? null : "has another home or shell";
    },
    apply: async () => {
      if ((await findGroup(want.name)) === null) await run(accounts.addGroup(want.name, want.uid));
      await run((await findAccount(want.name)) === null ? accounts.addUser(want) : accounts.changeUser(want));
    },
  };
}

/** An account that belongs to a further group. */
export function member({ user: name, group }: { readonly user: string; readonly group: string }): Resource {
  return {
    id: `member ${name} of ${group}`,
    mismatch: async () => ((await findGroup(group))?.members.includes(name) ? null : "is not a member"),
    apply: async () => {
      await run(accounts.addMember(name, group));
    },
  };
}

/** No account of this name; its processes are ended. */
export function noUser(name: string): Resource {
  return {
    id: `no user ${name}`,
    mismatch: async () => ((await findAccount(name)) === null && (await findGroup(name)) === null ? null : "is there"),
    apply: async () => {
      // A turn that was interrupted may have removed the account already.
      const account = await findAccount(name);
      if (account !== null) {
        await endProcesses(account.uid);
        await run(accounts.removeUser(name));
      }
      if ((await findGroup(name)) !== null) await run(accounts.removeGroup(name));
    },
  };
}

/**
 * Ends all processes of an account, and waits until they are gone. With the account's own rights one signal reaches all of
 * them at once, so that none escapes by beginning another one; a list of processes is old when it is read.
 */
export async function endProcesses(uid: number): Promise<void> {
  if (uid < FIRST_UID) throw new Fault("converge.no-account", `${uid} is an account of the system's own`);
  for (let round = 0; round < ROUNDS; round++) {
    await run(asAccount(uid, ["/bin/kill", "-KILL", "--", "-1"]), { acceptExitCodes: [0, 1], cwd: "/" });
    const { exitCode } = await run(["pgrep", "-U", String(uid)], { acceptExitCodes: [0, 1] });
    if (exitCode === 1) return;
    await sleep(ROUND_MS);
  }
  throw new Fault("converge.processes-left", `processes of account ${uid} go on although they were ended`);
}

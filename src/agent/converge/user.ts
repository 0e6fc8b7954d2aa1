import { type Argv, run } from "#base/run.ts";
import { findAccount, findGroup } from "./accounts.ts";
import type { Resource } from "./resource.ts";

export interface UserWant {
  readonly name: string;
  /** User id, and id of the group of the same name. */
  readonly uid: number;
  readonly home: string;
  readonly shell: string;
}

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
  endProcesses: (name: string): Argv => ["pkill", "-KILL", "-u", name],
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
      if ((await findAccount(name)) !== null) {
        await run(accounts.endProcesses(name), { acceptExitCodes: [0, 1] });
        await run(accounts.removeUser(name));
      }
      if ((await findGroup(name)) !== null) await run(accounts.removeGroup(name));
    },
  };
}

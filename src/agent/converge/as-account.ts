import type { Argv } from "#base/run.ts";

/** The command with the rights of an account, by its id and that of its group, and with no others: for work in what the account can change. */
export function asAccount(uid: number, command: Argv): Argv {
  return ["setpriv", `--reuid=${uid}`, `--regid=${uid}`, "--clear-groups", "--no-new-privs", "--", ...command];
}

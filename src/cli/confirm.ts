import { createInterface } from "node:readline/promises";
import { Fault } from "#base/fault.ts";

/** Asks a person at a terminal to type what is to be deleted; scripts are not asked. Fault "delete.not-confirmed" when it is not typed. */
export async function confirmDelete(what: string, id: string, { yes = false }: { readonly yes?: boolean }): Promise<void> {
  if (yes || !process.stdin.isTTY) return;
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  const typed = await terminal.question(`Delete ${what}? It cannot be undone. Type ${id}: `);
  terminal.close();
  if (typed.trim() !== id) throw new Fault("delete.not-confirmed", `nothing was deleted: ${id} was not typed`);
}

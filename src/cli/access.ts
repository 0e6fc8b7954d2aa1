import { readFile } from "node:fs/promises";
import { z } from "zod";
import { Fault } from "#base/fault.ts";
import { ControlUrls, withUrls } from "#contract/control-config.ts";
import { YardName } from "#contract/names.ts";
import { readYardState } from "./host/yard-state.ts";

/** What opens a yard's control API to one person; a file of it is what operators hand over. */
const AccessFile = z.preprocess(withUrls, z.object({ yard: YardName, urls: ControlUrls, token: z.string().min(1), caPem: z.string() }));
export type AccessFile = z.infer<typeof AccessFile>;

/**
 * Access to a yard: from the file that BOXYARD_ACCESS names, or what this machine keeps of its yards. Faults:
 * "access.unreadable", "yard.not-here", "yard.not-ready".
 */
export async function accessOf(yard: string): Promise<AccessFile> {
  const file = process.env["BOXYARD_ACCESS"];
  if (file !== undefined && file !== "") return readAccessFile(file);
  const { urls, token, caPem } = await readYardState(yard);
  if (urls === undefined || token === undefined || caPem === undefined)
    throw new Fault("yard.not-ready", `yard ${yard} has not been set up to its end`, { next: `bin/up --yard ${yard}` });
  return { yard, urls, token, caPem };
}

async function readAccessFile(path: string): Promise<AccessFile> {
  try {
    return AccessFile.parse(JSON.parse(await readFile(path, "utf8")));
  } catch (cause) {
    throw new Fault("access.unreadable", `BOXYARD_ACCESS names ${path}, which is no access to a yard`, {
      cause: cause instanceof z.ZodError ? z.prettifyError(cause) : cause,
      next: "ask an operator for one: boxyard person token NAME --access FILE",
    });
  }
}

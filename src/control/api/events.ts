import { findServers } from "../requests/resolve.ts";
import type { StreamHandler } from "./handler.ts";

export const events: StreamHandler<"events"> = async function* (context, { input: { target, ...from } }, gone) {
  const servers = target === "" ? null : new Set((await findServers(context, target)).map(({ row }) => row.name));
  const { after, ...rest } = from;
  for await (const stored of context.fabric.readEvents({ ...rest, ...(after === undefined ? {} : { after }) }, gone))
    if (servers === null || (stored.event.server !== null && servers.has(stored.event.server))) yield stored;
};

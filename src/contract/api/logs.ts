import { z } from "zod";
import { ServerName } from "../names.ts";
import { route } from "./route.ts";
import { ofWebsite } from "./websites.ts";

const LogLine = z.object({ server: ServerName, line: z.string() });

export const logRoutes = {
  readLogs: route({
    method: "GET",
    path: "/v1/websites/{website}/logs",
    summary: "Last log lines of a website from all its boxes; cursors go on from an earlier answer",
    params: ofWebsite,
    input: z.object({
      kind: z.enum(["access", "error"]).default("access"),
      lines: z.coerce.number().int().min(1).max(1000).default(50),
      /** JSON object of server name to cursor. */
      cursors: z.string().max(10_000).optional(),
    }),
    output: z.object({ lines: z.array(LogLine), cursors: z.record(ServerName, z.string()), silent: z.array(ServerName) }),
  }),
} as const;

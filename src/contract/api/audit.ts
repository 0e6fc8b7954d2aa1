import { z } from "zod";
import { AuditEntry } from "../audit.ts";
import { none, route } from "./route.ts";

export const auditRoutes = {
  audit: route({
    method: "GET",
    path: "/v1/audit",
    summary: "Who changed what, who asked servers for what, and how it ended",
    params: none,
    input: z.object({ last: z.coerce.number().int().min(1).max(10_000).default(50) }),
    output: z.array(AuditEntry),
  }),
} as const;

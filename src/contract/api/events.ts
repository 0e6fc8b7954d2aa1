import { z } from "zod";
import { Event } from "../events.ts";
import { none, route } from "./route.ts";

export const eventRoutes = {
  events: route({
    method: "GET",
    path: "/v1/events",
    summary: "What happened in the yard, in its order; from any point of the last 30 days, and on with what comes",
    params: none,
    input: z.object({
      /** The number of the last event that is known already. */
      after: z.coerce.number().int().min(0).optional(),
      /** Without `after`: so many of the newest. */
      last: z.coerce.number().int().min(0).max(10_000).default(50),
      follow: z.stringbool().default(false),
      /** Only events of these servers. */
      target: z.string().max(2_000).default(""),
    }),
    output: z.object({ number: z.int(), event: Event }),
    streams: true,
    isOpen: true,
  }),
} as const;

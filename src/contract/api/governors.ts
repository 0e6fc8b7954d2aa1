import { z } from "zod";
import { Governor, GovernorName } from "../governor.ts";
import { none, route } from "./route.ts";

export const governorRoutes = {
  listGovernors: route({
    method: "GET",
    path: "/v1/governors",
    summary: "Limits over the whole yard, and the servers that make use of them now",
    params: none,
    input: none,
    output: z.array(Governor),
    isOpen: true,
  }),
  putGovernor: route({
    method: "POST",
    path: "/v1/governors",
    summary: "Make or change a governor",
    params: none,
    input: z.object({ name: GovernorName, limit: Governor.shape.limit, actions: Governor.shape.actions.max(50).default([]) }),
    output: Governor,
  }),
  removeGovernor: route({
    method: "DELETE",
    path: "/v1/governors/{governor}",
    summary: "Remove a governor; what waits for it goes on",
    params: z.object({ governor: GovernorName }),
    input: none,
    output: z.object({ name: GovernorName }),
  }),
} as const;

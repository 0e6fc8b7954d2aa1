import { z } from "zod";
import { ActionPattern, PolicyRole, Rule } from "../policy.ts";
import { none, route } from "./route.ts";

export const policyRoutes = {
  listRules: route({
    method: "GET",
    path: "/v1/policy",
    summary: "What the roles of people may ask which servers for",
    params: none,
    input: none,
    output: z.array(Rule),
  }),
  addRule: route({
    method: "POST",
    path: "/v1/policy",
    summary: "Allow a role actions on the servers of a target",
    params: none,
    input: z.object({ role: PolicyRole, actions: z.array(ActionPattern).min(1).max(50), target: z.string().min(1).max(2_000) }),
    output: Rule,
  }),
  removeRule: route({
    method: "DELETE",
    path: "/v1/policy/{rule}",
    summary: "Take a rule back",
    params: z.object({ rule: z.coerce.number().int().positive() }),
    input: none,
    output: z.object({ number: z.int() }),
  }),
} as const;

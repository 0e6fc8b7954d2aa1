import { z } from "zod";
import { Person, PersonName } from "../policy.ts";
import { secret } from "../secret.ts";
import { none, route } from "./route.ts";

const ofPerson = z.object({ person: PersonName });
const PersonWithToken = z.object({ person: Person, token: secret(z.string()) });

export const personRoutes = {
  listPeople: route({
    method: "GET",
    path: "/v1/people",
    summary: "Who may use this API, beside the operator that bin/up has made",
    params: none,
    input: none,
    output: z.array(Person),
  }),
  addPerson: route({
    method: "POST",
    path: "/v1/people",
    summary: "Add a person; the token is told once",
    params: none,
    input: z.object({ name: PersonName, roles: z.array(z.string().max(40)).min(1, "give a role").max(50) }),
    output: PersonWithToken,
  }),
  changePerson: route({
    method: "PATCH",
    path: "/v1/people/{person}",
    summary: "Set a person's roles",
    params: ofPerson,
    input: z.object({ roles: z.array(z.string().max(40)).min(1, "give a role").max(50) }),
    output: Person,
  }),
  renewToken: route({
    method: "POST",
    path: "/v1/people/{person}/token",
    summary: "Give a person a new token; the old one is worth nothing from now on",
    params: ofPerson,
    input: none,
    output: PersonWithToken,
  }),
  removePerson: route({
    method: "DELETE",
    path: "/v1/people/{person}",
    summary: "Take all rights from a person; their requests under way are cancelled",
    params: ofPerson,
    input: none,
    output: z.object({ name: PersonName }),
  }),
} as const;

import { z } from "zod";
import { Timestamp } from "../names.ts";
import { SshPublicKey } from "../ssh-key.ts";
import { none, route } from "./route.ts";
import { ofWebsite } from "./websites.ts";

export const SshKey = z.object({
  fingerprint: z.string(),
  type: z.string(),
  comment: z.string(),
  publicKey: z.string(),
  addedAt: Timestamp,
});
export type SshKey = z.infer<typeof SshKey>;

export const keyRoutes = {
  addKey: route({
    method: "POST",
    path: "/v1/websites/{website}/keys",
    summary: "Allow an SSH public key to push and to log in",
    params: ofWebsite,
    input: z.object({ publicKey: SshPublicKey }),
    output: SshKey,
  }),
  listKeys: route({
    method: "GET",
    path: "/v1/websites/{website}/keys",
    summary: "A website's keys",
    params: ofWebsite,
    input: none,
    output: z.array(SshKey),
  }),
  removeKey: route({
    method: "POST",
    path: "/v1/websites/{website}/keys/remove",
    summary: "Remove a key by its fingerprint (SHA256:…)",
    params: ofWebsite,
    input: z.object({ fingerprint: z.string().max(200) }),
    output: SshKey,
  }),
} as const;

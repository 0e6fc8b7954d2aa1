import { z } from "zod";
import { Address, ClusterId, ServerName } from "../names.ts";

/** A cluster's cache server: Varnish on port 80 in front of the boxes, memcached on port 11211. */
export const CacheSpec = z.object({
  cluster: ClusterId,
  boxes: z.array(z.object({ name: ServerName, address: Address })),
  /** Edge routers: the only servers whose X-Forwarded-… headers are believed. */
  edges: z.array(Address),
  /** Servers that may PURGE: the cluster's boxes and shell. */
  purgers: z.array(Address),
  varnishMegabytes: z.int().positive(),
  memcachedMegabytes: z.int().positive(),
});
export type CacheSpec = z.infer<typeof CacheSpec>;

import type { ClusterId } from "#contract/names.ts";
import type { CacheSpec } from "#contract/spec/cache.ts";
import { addressOf, nameAndAddress, type Yard } from "./yard.ts";

const VARNISH_MEGABYTES = 128;
const MEMCACHED_MEGABYTES = 64;

/** A cluster's cache servers balance over its boxes, those aside that are fenced. */
export function planCache(yard: Yard, cluster: ClusterId): CacheSpec {
  return {
    cluster,
    boxes: yard.inRotation("box", cluster).map(nameAndAddress),
    edges: yard.withRole("edge").map(addressOf),
    purgers: yard.carriers(cluster).map(addressOf),
    varnishMegabytes: VARNISH_MEGABYTES,
    memcachedMegabytes: MEMCACHED_MEGABYTES,
  };
}

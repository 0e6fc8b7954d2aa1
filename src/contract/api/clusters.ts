import { z } from "zod";
import { ClusterId, WebsiteId } from "../names.ts";
import { none, route } from "./route.ts";
import { Server } from "./servers.ts";

export const Cluster = z.object({
  id: ClusterId,
  boxes: z.int(),
  /** A deployment goes on without boxes that fail while so many others get visitors; null: half of all. */
  minBoxes: z.int().nullable(),
  isReady: z.boolean(),
  servers: z.array(Server),
  websites: z.array(WebsiteId),
});
export type Cluster = z.infer<typeof Cluster>;

const Boxes = z.int().min(1, "a cluster needs at least one box").max(64);
const ofCluster = z.object({ cluster: ClusterId });

export const clusterRoutes = {
  createCluster: route({
    method: "POST",
    path: "/v1/clusters",
    summary: "Create a cluster: two caches, a shell server, boxes",
    params: none,
    input: z.object({ boxes: Boxes.default(2), minBoxes: Boxes.nullable().default(null) }),
    output: Cluster,
  }),
  listClusters: route({
    method: "GET",
    path: "/v1/clusters",
    summary: "All clusters",
    params: none,
    input: none,
    output: z.array(Cluster),
  }),
  showCluster: route({
    method: "GET",
    path: "/v1/clusters/{cluster}",
    summary: "One cluster",
    params: ofCluster,
    input: none,
    output: Cluster,
  }),
  scaleCluster: route({
    method: "PATCH",
    path: "/v1/clusters/{cluster}",
    summary: "Set the number of boxes, and how many a deployment needs at least",
    params: ofCluster,
    input: z.object({ boxes: Boxes.optional(), minBoxes: Boxes.nullable().optional() }),
    output: Cluster,
  }),
  deleteCluster: route({
    method: "DELETE",
    path: "/v1/clusters/{cluster}",
    summary: "Delete a cluster that has no websites",
    params: ofCluster,
    input: none,
    output: z.object({ id: ClusterId }),
  }),
} as const;

import type { RoleSpecs } from "#contract/spec/server.ts";
import type { StartRole } from "./roles/role.ts";

/** Every role that a server can carry; loaded when a spec names it, so that an agent holds only its own roles in memory. */
export const roles: { readonly [R in keyof Required<RoleSpecs>]: () => Promise<StartRole<Required<RoleSpecs>[R]>> } = {
  control: async () => (await import("./roles/control/role.ts")).startControl,
  edge: async () => (await import("./roles/edge/role.ts")).startEdge,
  cache: async () => (await import("./roles/cache/role.ts")).startCache,
  box: async () => (await import("./roles/box/role.ts")).startBox,
  shell: async () => (await import("./roles/shell/role.ts")).startShell,
  git: async () => (await import("./roles/git/role.ts")).startGit,
  broker: async () => (await import("./roles/broker/role.ts")).startBroker,
  builder: async () => (await import("./roles/builder/role.ts")).startBuilder,
  database: async () => (await import("./roles/database/role.ts")).startDatabase,
};

export type RoleName = keyof typeof roles;

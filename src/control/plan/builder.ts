import type { WebsiteId } from "#contract/names.ts";
import type { BuilderSpec } from "#contract/spec/builder.ts";
import type { PlannedServer } from "./rows.ts";
import { planGitSource } from "./website.ts";
import type { Yard } from "./yard.ts";

/** The name of the server that builds a website's releases; there is one at a time. */
export function builderOf(website: WebsiteId): string {
  return `${website}x`;
}

/** What the builder of a website should be; nothing when the website is gone. */
export function planBuilder(yard: Yard, server: PlannedServer): BuilderSpec | undefined {
  const website = yard.websites().find(({ id }) => builderOf(id) === server.name);
  if (website === undefined) return undefined;
  const { limits, packages } = yard.rows;
  const { id, environment } = website;
  return { git: planGitSource(yard), website: id, environment, network: networkOf(server.address), limits, packages };
}

/** A yard's network is one /24. */
function networkOf(address: string): string {
  return address.replace(/\d+$/, "0/24");
}

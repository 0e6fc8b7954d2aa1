import type { WebsiteId } from "#contract/names.ts";
import type { ControlFabric } from "#fabric/fabric.ts";

/** What websites, or one of them, have done to themselves, a line each: no other website is touched by it. */
export function websiteTroubles(fabric: Pick<ControlFabric, "registry">, only?: WebsiteId): string[] {
  return [...fabric.registry().values()].flatMap(({ server, websiteFaults = [] }) =>
    websiteFaults
      .filter(({ website }) => only === undefined || website === only)
      .map(
        ({ website, message, next }) =>
          `website ${website} on ${server}: ${message}${next === null ? "" : ` (→ ${next})`}; other websites go on`,
      ),
  );
}

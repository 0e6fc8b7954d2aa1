import type { Cloud } from "./driver.ts";
import { type IncusOptions, incusCloud } from "./incus/cloud.ts";

/** Every cloud driver, by the name that configuration gives it. */
export const clouds = { incus: incusCloud } satisfies Record<string, (options: IncusOptions) => Cloud>;

import type { Cloud } from "./driver.ts";
import { type IncusOptions, incusCloud } from "./incus/cloud.ts";
import { memoryCloud } from "./memory/cloud.ts";

/** Every cloud driver, by the name that configuration gives it. */
export const clouds = { incus: incusCloud, memory: memoryCloud } satisfies Record<string, (options: IncusOptions) => Cloud>;

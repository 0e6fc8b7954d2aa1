import { z } from "zod";

/** The control server; its services are set up before any spec exists, so that there is nothing to say yet but its being there. */
export const ControlSpec = z.object({});
export type ControlSpec = z.infer<typeof ControlSpec>;

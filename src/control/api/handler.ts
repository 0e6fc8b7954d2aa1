import type { z } from "zod";
import type { api } from "#contract/api.ts";
import type { ApiContext } from "./context.ts";

/** The contract's routes. */
export type Api = typeof api;

/** What a route's handler gets and gives, inferred from the contract. */
export type Handler<K extends keyof Api> = (
  context: ApiContext,
  given: { readonly params: z.output<Api[K]["params"]>; readonly input: z.output<Api[K]["input"]> },
) => Promise<z.input<Api[K]["output"]>>;

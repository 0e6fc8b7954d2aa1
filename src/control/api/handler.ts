import type { z } from "zod";
import type { api } from "#contract/api/routes.ts";
import type { Caller } from "../requests/run.ts";
import type { ApiContext } from "./context.ts";

/** The contract's routes. */
export type Api = typeof api;

interface Given<K extends keyof Api> {
  readonly params: z.output<Api[K]["params"]>;
  readonly input: z.output<Api[K]["input"]>;
  readonly caller: Caller;
}

/** What a route's handler gets and gives, inferred from the contract. */
export type Handler<K extends keyof Api> = (context: ApiContext, given: Given<K>) => Promise<z.input<Api[K]["output"]>>;

/** The handler of a route that streams: lines as they come; `gone` aborts when the caller has gone away. */
export type StreamHandler<K extends keyof Api> = (
  context: ApiContext,
  given: Given<K>,
  gone: AbortSignal,
) => AsyncIterable<z.input<Api[K]["output"]>>;

/** The handler that each route of the contract needs. */
export type Handlers = { readonly [K in keyof Api]: Api[K] extends { readonly streams: true } ? StreamHandler<K> : Handler<K> };

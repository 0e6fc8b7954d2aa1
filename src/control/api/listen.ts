import { createServer } from "node:https";
import { serve } from "@hono/node-server";
import type { Env, Hono } from "hono";

/** A certificate and its key, as PEM, and where to listen. */
export interface ListenOptions {
  readonly certificate: string;
  readonly key: string;
  readonly address: string;
  readonly port: number;
}

/** What listens, until it is stopped; connections that stand then are ended. */
export interface Listening {
  stop(): Promise<void>;
}

/** Serves an application over TLS. */
export function listen<E extends Env>(app: Hono<E>, { certificate, key, address, port }: ListenOptions): Listening {
  const serverOptions = { cert: certificate, key };
  const server = serve({ fetch: app.fetch, hostname: address, port, createServer, serverOptions });
  return {
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        if ("closeAllConnections" in server) server.closeAllConnections();
      }),
  };
}

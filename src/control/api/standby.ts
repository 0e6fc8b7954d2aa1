import { Hono } from "hono";
import { Fault, reportFault } from "#base/fault.ts";
import { STANDBY } from "#contract/api/leader.ts";
import type { ServerName } from "#contract/names.ts";
import { type Listening, type ListenOptions, listen } from "./listen.ts";

export interface StandbyOptions extends ListenOptions {
  /** The name of this control server. */
  readonly server: ServerName;
}

/** Serves in the API's place while another control server works: whatever is asked, nothing is done, and the answer says so. */
export function serveStandby({ server, ...where }: StandbyOptions): Listening {
  const app = new Hono();
  app.all("*", (http) => http.json(standsBy(server), 503));
  return listen(app, where);
}

function standsBy(server: ServerName): ReturnType<typeof reportFault> {
  return reportFault(
    new Fault(STANDBY, `${server} stands by: another control server works`, {
      next: "ask the others; boxyard does by itself with an access that names all of them: boxyard person token NAME --access FILE",
    }),
  );
}

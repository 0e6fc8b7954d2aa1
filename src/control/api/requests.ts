import { listAudit } from "../store/audit.ts";
import type { Handler, StreamHandler } from "./handler.ts";

export const request: StreamHandler<"request"> = ({ requests }, { input }, gone) => requests.run(input, gone);

export const cancelRequest: Handler<"cancelRequest"> = async ({ requests }, { params }) => {
  requests.cancel(params.request);
  return { request: params.request };
};

export const audit: Handler<"audit"> = ({ store }, { input: { last } }) => listAudit(store, last);

import type { Handler, StreamHandler } from "./handler.ts";

export const request: StreamHandler<"request"> = ({ requests }, { input, caller }, gone) => requests.run(input, caller, gone);

export const cancelRequest: Handler<"cancelRequest"> = async ({ requests }, { params, caller }) => {
  requests.cancel(params.request, caller);
  return { request: params.request };
};

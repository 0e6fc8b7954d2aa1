import { z } from "zod";
import { RequestInput, RequestLine } from "../request.ts";
import { none, route } from "./route.ts";

export const requestRoutes = {
  request: route({
    method: "POST",
    path: "/v1/requests",
    summary: "Ask servers for an action; their answers come as they arrive",
    params: none,
    input: RequestInput,
    output: RequestLine,
    streams: true,
    isOpen: true,
  }),
  cancelRequest: route({
    method: "DELETE",
    path: "/v1/requests/{request}",
    summary: "Call a request off: nobody else is asked, and its answer ends with what had been done",
    params: z.object({ request: z.uuid() }),
    input: none,
    output: z.object({ request: z.string() }),
    isOpen: true,
  }),
} as const;

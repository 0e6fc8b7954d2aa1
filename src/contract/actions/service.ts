import { z } from "zod";
import { action } from "../action.ts";

/** The services that a server's roles bring; nothing else may be restarted from outside. */
export const Service = z.enum([
  "apache2",
  "cron",
  "haproxy",
  "mariadb",
  "memcached",
  "nats-server",
  "php8.4-fpm",
  "postgresql",
  "ssh",
  "varnish",
]);
export type Service = z.infer<typeof Service>;

export const ServiceState = z.object({
  service: Service,
  isActive: z.boolean(),
  /** systemd's own words: "active", "failed", "inactive", … */
  state: z.string(),
  /** How often systemd has started it again. */
  restarts: z.int(),
  memoryBytes: z.number().nullable(),
});
export type ServiceState = z.infer<typeof ServiceState>;

export const serviceStatus = action("service.status", {
  summary: "Tell whether a service runs",
  input: z.object({ service: Service }),
  output: ServiceState,
  timeoutMs: 5_000,
  idempotent: true,
  faults: ["service.not-here"],
  sums: { state: "distribution", memoryBytes: "range", restarts: "total" },
});

export const serviceRestart = action("service.restart", {
  summary: "Restart a service, and tell whether it runs",
  input: z.object({ service: Service }),
  output: ServiceState,
  timeoutMs: 60_000,
  idempotent: false,
  faults: ["service.not-here", "service.not-restarted"],
  sums: { state: "distribution" },
});

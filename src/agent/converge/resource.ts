import type { WebsiteId } from "#contract/names.ts";

/** One thing that a server should have or be; it decides by itself whether it is so. */
export interface Resource {
  /** Kind and name, for people: "file /etc/varnish/default.vcl", "unit varnish.service". */
  readonly id: string;
  /** Why the server is not as wanted, in words, or null when it is. Changes nothing. */
  mismatch(signal: AbortSignal): Promise<string | null>;
  /** Makes it so; called only after a mismatch, and may be repeated. */
  apply(signal: AbortSignal): Promise<void>;
  /** The website in whose own area this is. When it fails that is the website's fault: its group goes on, and the server counts as it should be. */
  readonly website?: WebsiteId;
  /** The systemd unit that must run: when it ends, a turn comes at once. */
  readonly unit?: string;
  /** The unit that `apply` restarts, with what it does for everybody at that moment. While it runs, that waits until control says when. */
  readonly restarts?: string;
}

/** Resources in the order in which they depend on each other: when one fails the rest of its group waits, other groups go on. */
export interface ResourceGroup {
  readonly name: string;
  readonly resources: readonly Resource[];
}

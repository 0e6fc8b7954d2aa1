import { styleText } from "node:util";
import { DeploymentStory, type Tone } from "#contract/deployment-story.ts";
import type { DeploymentEvent } from "#contract/events.ts";
import { printable } from "./printable.ts";

const STYLES = { section: "bold", detail: "dim", warning: "yellow", success: "green", error: "red" } as const satisfies Record<
  Tone,
  string
>;

/** Nothing is said for so long, and then that it goes on. */
const HEARTBEAT_MS = 10_000;

/** Tells a deployment's events with the time since the first; in colour when standard error is a terminal that wants it. */
export function storyTeller(say: (line: string) => void): { tell(event: DeploymentEvent): void; beat(): void } {
  const story = new DeploymentStory();
  let startedAt: number | null = null;
  let saidAtMs = performance.now();

  function write(tone: Tone, elapsedMs: number, text: string): void {
    saidAtMs = performance.now();
    const label = tone === "section" || tone === "detail" ? "" : `${tone}: `;
    const indent = tone === "detail" ? "  " : "";
    const styled = styleText(STYLES[tone], `${indent}${label}${printable(text)}`, { stream: process.stderr });
    say(`${`${(elapsedMs / 1000).toFixed(1)} s`.padStart(8)}  ${styled}`);
  }

  return {
    tell: (event) => {
      const at = Date.parse(event.at);
      startedAt ??= at;
      const { tone, text } = story.read(event);
      write(tone, at - startedAt, text);
    },
    beat: () => {
      if (startedAt !== null && performance.now() - saidAtMs > HEARTBEAT_MS) write("detail", Date.now() - startedAt, "still under way");
    },
  };
}

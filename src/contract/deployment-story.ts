import type { DeploymentState } from "./deployment.ts";
import type { DeploymentEvent } from "./events.ts";

/** What a line of a deployment is to its reader. */
export type Tone = "section" | "detail" | "warning" | "success" | "error";

export interface ToldLine {
  readonly tone: Tone;
  /** Without what the tone says. */
  readonly text: string;
}

const WARNING = "warning: ";
const NOT_LIVE: readonly DeploymentState[] = ["failed", "rolled-back", "superseded"];

/** Reads one deployment's events in their order: each change of state begins a section, and the end tells how it ended. */
export class DeploymentStory {
  #state: DeploymentState | null = null;

  read({ state, line }: Pick<DeploymentEvent, "state" | "line">): ToldLine {
    const isMove = state !== this.#state;
    this.#state = state;
    if (line.startsWith(WARNING)) return { tone: "warning", text: line.slice(WARNING.length) };
    if (!isMove) return { tone: "detail", text: line };
    if (state === "live") return { tone: "success", text: line };
    return { tone: NOT_LIVE.includes(state) ? "error" : "section", text: line };
  }
}

/** Whether nothing more is told of the deployment. */
export function isLast({ tone }: ToldLine): boolean {
  return tone === "success" || tone === "error";
}

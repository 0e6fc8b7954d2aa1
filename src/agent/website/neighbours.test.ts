import { expect, test } from "vitest";
import { hidesProcesses } from "./neighbours.ts";

const line = (options: string, place = "/proc") =>
  `2766 2136 0:279 / ${place} rw,nosuid,nodev,noexec,relatime shared:2665 - proc proc ${options}`;
const OTHERS = "2770 2766 0:20 /sys/fs/binfmt_misc /proc/sys/fs/binfmt_misc rw,relatime shared:2666 - proc proc rw,hidepid=invisible";

test.each([
  ["as it is mounted by default", [line("rw"), OTHERS], false],
  ["with others' processes invisible", [line("rw,hidepid=invisible"), OTHERS], true],
  ["in the words of an older kernel", [line("rw,hidepid=2")], true],
  ["with names that can be seen", [line("rw,hidepid=1")], false],
  ["mounted again over one that hides", [line("rw,hidepid=invisible"), line("rw")], false],
  ["elsewhere", [line("rw"), line("rw,hidepid=invisible", "/mnt/proc")], false],
])("/proc %s", (_what, lines, hides) => {
  expect(hidesProcesses(`${lines.join("\n")}\n`)).toBe(hides);
});

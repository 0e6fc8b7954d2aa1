import { configuration } from "./converge/configuration.ts";
import type { ResourceGroup } from "./converge/resource.ts";
import { systemctl, unit } from "./converge/unit.ts";

const TIMER = "logrotate.timer";
const CONFIGURATION = "/etc/logrotate.conf";

/** What every server does with the logs that are files; the journal has its own bound, in the image. */
export function logGroup(): ResourceGroup {
  return {
    name: "logs",
    resources: [
      configuration({
        id: "logs",
        files: [{ path: CONFIGURATION, content: logRotation() }],
        check: ["logrotate", "--debug", CONFIGURATION],
        activate: [],
      }),
      configuration({
        id: "logrotate-timer",
        files: [{ path: `/etc/systemd/system/${TIMER}.d/boxyard.conf`, content: hourly() }],
        check: null,
        activate: [systemctl.daemonReload(), systemctl.act("try-restart", TIMER)],
      }),
      unit({ unit: TIMER, running: true, atBoot: true }),
    ],
  };
}

/** For all logs but where a service's own file says otherwise. What is new is the bound: without it only the calendar rotates. */
function logRotation(): string {
  return `# Written by Boxyard.
weekly
rotate 4
maxsize 100M
create
compress
include /etc/logrotate.d
`;
}

/** A log that grows fast is over its bound for an hour at most; servers of one machine do not all look in the same minute. */
function hourly(): string {
  return "# Written by Boxyard.\n[Timer]\nOnCalendar=\nOnCalendar=hourly\nAccuracySec=1m\nRandomizedDelaySec=10m\n";
}

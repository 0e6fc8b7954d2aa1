/** Makes a control server ready, as root, before the control service starts; run again, it changes nothing. */
import { openLog } from "#base/log.ts";
import { setUpControl } from "./setup.ts";

const log = openLog("control-setup");
await setUpControl(log);

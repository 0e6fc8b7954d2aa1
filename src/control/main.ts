/** The control service: `node src/control/main.ts`, as user boxyard, on a control server that setup has made ready. */
import { enableCompileCache } from "node:module";
import { CONTROL_CACHE } from "#contract/control-config.ts";

// Before the service's code is loaded: the cache that the unit names is root's alone, who runs what lies there.
enableCompileCache(CONTROL_CACHE);
await import("./begin.ts");

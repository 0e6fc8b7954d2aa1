/** The CLI: `bin/boxyard`. */
import { runCommandLine } from "./command-line.ts";

// A reader that has seen enough (boxyard logs s1 | head) is no error.
process.stdout.on("error", (error: NodeJS.ErrnoException) => process.exit(error.code === "EPIPE" ? 0 : 1));
process.exitCode = await runCommandLine(process.argv.slice(2));

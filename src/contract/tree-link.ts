/** Where a symbolic link of a repository leads: inside it, to the system's certificates, or elsewhere on the server. */
export type LinkVerdict = "inside" | "system" | "outside";

/** The one place outside the repository that links may name: Debian's WordPress points at its CA bundle. */
const SYSTEM = "/etc/ssl/certs/";

/**
 * Judges the link at `path` (from the repository root) by its target text alone. Sound for a whole tree: when every link
 * that is kept is "inside", following any chain of them never leaves the repository.
 */
export function linkVerdict(path: string, target: string): LinkVerdict {
  const steps = target.split("/");
  const ups = steps.findIndex((step) => step !== ".." && step !== ".");
  // “..” behind a name would leave from wherever that name leads when it is itself a link; only leading ones can be counted.
  if (ups !== -1 && steps.slice(ups).includes("..")) return "outside";
  if (target.startsWith("/")) return target.startsWith(SYSTEM) ? "system" : "outside";
  const depth = path.split("/").length - 1;
  return target !== "" && steps.filter((step) => step === "..").length <= depth ? "inside" : "outside";
}

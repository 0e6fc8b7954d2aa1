/** A path of a Boxfile from the repository root, or what is wrong with it and the mend. */
export type PathVerdict = { readonly path: string } | { readonly message: string; readonly mend: string };

const LENGTH_LIMIT = 500;

/** Joins a path as written to the folder that it starts from ("" is the repository root) and normalises it; it never leaves the repository. */
export function resolvePath(folder: string, written: string): PathVerdict {
  const wrong = refuseText(written);
  if (wrong !== null) return wrong;
  const steps = folder === "" ? [] : folder.split("/");
  for (const step of written.split("/")) {
    if (step === "" || step === ".") continue;
    if (step !== "..") steps.push(step);
    else if (steps.pop() === undefined)
      return { message: `${quote(written)} leaves the repository`, mend: "name a path inside the repository" };
  }
  if (steps.length === 0) return { message: `${quote(written)} is the repository itself`, mend: "name a folder or file in it" };
  if (steps.some((step) => step.toLowerCase() === ".git"))
    return { message: `${quote(written)} goes through .git`, mend: "name a path that Git stores" };
  return { path: steps.join("/") };
}

/** Whether `inner` is `outer` or lies in it. */
export function isWithin(inner: string, outer: string): boolean {
  return inner === outer || inner.startsWith(`${outer}/`);
}

/** A text from outside in quotation marks, short, and without control characters. */
export function quote(text: string): string {
  const plain = text.replace(/\p{C}/gu, "�");
  return `“${plain.length > 120 ? `${plain.slice(0, 120)}…` : plain}”`;
}

function refuseText(written: string): PathVerdict | null {
  if (written.trim() === "") return { message: "the path is empty", mend: "name a path from the repository, or remove this line" };
  if (/[\p{Cc}\p{Cs}\u2028\u2029]/u.test(written)) return { message: `${quote(written)} has a control character`, mend: "rename it" };
  if (written.length > LENGTH_LIMIT)
    return { message: `${quote(written)} is too long`, mend: `keep paths below ${LENGTH_LIMIT} characters` };
  if (written.includes("\\")) return { message: `${quote(written)} has a backslash`, mend: "separate folders with /" };
  if (written.startsWith("/")) return { message: `${quote(written)} is an absolute path`, mend: `write it without the first /` };
  if (/^~(\/|$)/.test(written))
    return { message: `${quote(written)} is a path from a home directory`, mend: "name a path in the repository" };
  return null;
}

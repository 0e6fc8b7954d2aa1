import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { detectDocroot, treeOf } from "./repository-tree.ts";
import { linkVerdict } from "./tree-link.ts";

const treeWith = (...paths: string[]) => treeOf(paths.map((path) => ({ mode: "100644", path })));

describe("the docroot is", () => {
  test.each([
    ["docroot", ["docroot/index.php", "web/index.php", "index.php"]],
    ["web", ["web/index.php", "public/logo.png", "composer.json"]],
    ["public", ["public/index.html"]],
    ["", ["index.php", "public/logo.png"]],
    ["docroot", ["docroot/sites/x.txt"]],
    ["", ["readme.md"]],
    ["", []],
  ])("%j of %j", (docroot, paths) => {
    expect(detectDocroot(treeWith(...paths))).toBe(docroot);
  });
});

describe("a link leads", () => {
  test.each([
    ["a/b", "c", "inside"],
    ["a/b", "../c", "inside"],
    ["a/b", "../../c", "outside"],
    ["b", "..", "outside"],
    ["b", "/etc/passwd", "outside"],
    ["b", "/etc/ssl/certs/ca-certificates.crt", "system"],
    ["b", "/etc/ssl/certs/../../passwd", "outside"],
    ["wp-includes/js/underscore.js", "../../../javascript/underscore/underscore.min.js", "outside"],
    ["a/b/c", "./../x", "inside"],
    ["a/b/c", "d/../../../../x", "outside"],
    ["a/b", "", "outside"],
  ])("from %s by %s: %s", (path, target, verdict) => {
    expect(linkVerdict(path, target)).toBe(verdict);
  });

  test("never out of the repository by any chain of links that are inside", () => {
    const name = fc.constantFrom("a", "b", "c");
    const path = fc.array(name, { minLength: 1, maxLength: 3 }).map((steps) => steps.join("/"));
    const target = fc.array(fc.constantFrom("a", "b", "c", "..", "."), { minLength: 1, maxLength: 5 }).map((steps) => steps.join("/"));
    fc.assert(
      fc.property(fc.array(fc.tuple(path, target), { maxLength: 6 }), path, (pairs, start) => {
        // As in a tree of Git: nothing lies below a link.
        const links = new Map<string, string>();
        for (const [at, to] of pairs)
          if (
            linkVerdict(at, to) === "inside" &&
            ![...links.keys()].some((one) => `${at}/`.startsWith(`${one}/`) || one.startsWith(`${at}/`))
          )
            links.set(at, to);
        expect(follow(start, links)).not.toBe("outside");
      }),
      { numRuns: 2_000 },
    );
  });
});

/** Walks as the kernel does; gives up after 40 links, as it does too. */
function follow(start: string, links: ReadonlyMap<string, string>): "inside" | "outside" | "loop" {
  const ahead = start.split("/");
  const at: string[] = [];
  let followed = 0;
  for (let step = ahead.shift(); step !== undefined; step = ahead.shift()) {
    if (step === ".") continue;
    if (step === "..") {
      if (at.pop() === undefined) return "outside";
      continue;
    }
    const to = links.get([...at, step].join("/"));
    if (to === undefined) at.push(step);
    else if (followed++ > 40) return "loop";
    else ahead.unshift(...to.split("/"));
  }
  return "inside";
}

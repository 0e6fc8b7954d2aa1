import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { isRefusal, type MapChange, planMap } from "./run-time.ts";

const someMap = fc
  .array(fc.tuple(fc.constantFrom("a.example", "b.example", "c.example", "d.example"), fc.constantFrom("c1", "c2", "c3")))
  .map((entries) => new Map(entries));

function carryOut(have: ReadonlyMap<string, string>, changes: readonly MapChange[]): Map<string, string> {
  const map = new Map(have);
  for (const change of changes) {
    if (map.has(change.key) !== (change.verb !== "add")) throw new Error(`HAProxy would refuse to ${change.verb} ${change.key}`);
    if (change.verb === "del") map.delete(change.key);
    else map.set(change.key, change.value);
  }
  return map;
}

describe("changes of a map", () => {
  test("lead from any map to any other, touching each key once at most", () => {
    fc.assert(
      fc.property(someMap, someMap, (want, have) => {
        const changes = planMap(want, have);
        expect(carryOut(have, changes)).toEqual(new Map(want));
        expect(new Set(changes.map(({ key }) => key)).size).toBe(changes.length);
      }),
    );
  });

  test("are none when the map is as wanted", () => {
    fc.assert(fc.property(someMap, (map) => planMap(map, map).length === 0));
  });

  test("bring what is new before they take what goes: a renamed website is never without a domain", () => {
    const verbs = planMap(new Map([["new.example", "c1"]]), new Map([["old.example", "c1"]])).map(({ verb }) => verb);
    expect(verbs).toEqual(["add", "del"]);
  });
});

describe("an answer of HAProxy", () => {
  const path = "/etc/haproxy/maps/domains.map";
  const certificate = "/etc/haproxy/certificates/failed.example.pem";
  test.each([
    { answer: "", command: `add map ${path} failed.example c1`, refused: false },
    { answer: `Transaction created for certificate ${certificate}!`, command: `set ssl cert ${certificate}`, refused: false },
    { answer: `Committing ${certificate}.\nSuccess!`, command: `commit ssl cert ${certificate}`, refused: false },
    { answer: "Unknown map identifier. Please use #<id> or <file>.", command: `add map ${path} a.example c1`, refused: true },
    { answer: "Key not found.", command: `del map ${path} failed.example`, refused: true },
    { answer: `Can't commit ${certificate}!`, command: `commit ssl cert ${certificate}`, refused: true },
    { answer: "unable to load certificate chain from file", command: `set ssl cert ${certificate}`, refused: true },
  ])("to “$command” is judged without the command's own words: $answer", ({ answer, command, refused }) => {
    expect(isRefusal(answer, command)).toBe(refused);
  });
});

import { describe, expect, test } from "vitest";
import { planUnit } from "./unit.ts";

const on = { running: true, atBoot: true };
const off = { running: false, atBoot: false };

describe("a unit", () => {
  test.each([
    { what: "that is as wanted needs nothing", want: on, have: on, verbs: [] },
    { what: "that is to run from now on is enabled before it starts", want: on, have: off, verbs: ["enable", "start"] },
    { what: "that is to rest is disabled before it stops", want: off, have: on, verbs: ["disable", "stop"] },
    { what: "that died is started alone", want: on, have: { running: false, atBoot: true }, verbs: ["start"] },
    { what: "that was started by hand is enabled alone", want: on, have: { running: true, atBoot: false }, verbs: ["enable"] },
  ] as const)("$what", ({ want, have, verbs }) => {
    expect(planUnit({ unit: "varnish.service", ...want }, have)).toEqual(verbs);
  });
});

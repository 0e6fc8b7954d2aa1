import { expect, test } from "vitest";
import { createLead, nextLead } from "./lead.ts";

const BOUNDS = { firstMs: 120, shortestMs: 50, longestMs: 250 };

test("the lead grows at once when a server was late, and shrinks slowly when all were in time", () => {
  expect(nextLead(100, 40, BOUNDS)).toBe(160);
  expect(nextLead(100, 2, BOUNDS)).toBe(95);
});

test("the lead stays within its bounds however late or early servers are", () => {
  const lead = createLead(BOUNDS);
  lead.learn(10_000);
  expect(lead.ms).toBe(250);
  for (let nth = 0; nth < 100; nth++) lead.learn(0);
  expect(lead.ms).toBe(50);
});

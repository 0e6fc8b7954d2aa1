import { expect, test } from "vitest";
import { createLead, nextLead } from "./lead.ts";

const BOUNDS = { firstMs: 120, shortestMs: 20, longestMs: 250 };

test("the lead grows at once when a server was late, and shrinks in steps when all were ready early", () => {
  expect(nextLead(60, 90, BOUNDS)).toBe(185);
  expect(nextLead(120, 20, BOUNDS)).toBe(84);
  expect(nextLead(50, 20, BOUNDS)).toBe(45);
});

test("the lead stays within its bounds however late or early servers are", () => {
  const lead = createLead(BOUNDS);
  lead.learn(10_000);
  expect(lead.ms).toBe(250);
  for (let nth = 0; nth < 100; nth++) lead.learn(0);
  expect(lead.ms).toBe(20);
});

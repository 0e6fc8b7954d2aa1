import { expect, test } from "vitest";
import { isolation } from "./isolation.ts";

test("an account that builds is kept from its yard's network but for names, and from the networks of other yards", () => {
  const rules = isolation("10.88.3.0/24", 19_999)
    .split("\n")
    .filter((line) => line.includes("skuid"));
  const [names, , own, others] = rules.map((line) => line.trim());
  expect(names).toBe("meta skuid 19999 ip daddr 10.88.3.0/24 udp dport 53 accept");
  expect(own).toBe("meta skuid 19999 ip daddr 10.88.3.0/24 reject");
  expect(others).toBe("meta skuid 19999 ip daddr 10.77.0.0/16 reject");
});

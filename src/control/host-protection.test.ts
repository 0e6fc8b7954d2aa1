import { expect, test } from "vitest";
import { describeUnprotected } from "./host-protection.ts";

const status = (server: string, facts: Record<string, string>) => ({ server, facts });

test("a host whose kernel does not protect links is a trouble that names the settings, once for all its servers", () => {
  const off = "fs.protected_symlinks fs.protected_fifos";
  expect(
    describeUnprotected([
      status("db1", { "kernel.unprotected": off }),
      status("c1b1", { "kernel.unprotected": off }),
      status("git1", { "kernel.unprotected": off }),
    ]),
  ).toEqual([
    "fs.protected_symlinks, fs.protected_fifos not fully on in the kernel under c1b1 and 2 more: links can be traps there (→ bin/up)",
  ]);
  expect(describeUnprotected([status("db1", { "kernel.unprotected": "fs.protected_regular" })])).toEqual([
    "fs.protected_regular not fully on in the kernel under db1: links can be traps there (→ bin/up)",
  ]);
});

test("a protected host is no trouble, nor is a server of an older version, which does not say", () => {
  expect(describeUnprotected([status("db1", { "kernel.unprotected": "" }), status("git1", {})])).toEqual([]);
  expect(describeUnprotected([])).toEqual([]);
});

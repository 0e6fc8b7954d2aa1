import { test } from "vitest";
import { killService } from "#harness/faults.ts";
import { expectOnceWhile } from "#harness/once.ts";

test("while the broker is killed, nothing is carried out twice, each caller is told, and every server is back within 5 s of its end", () =>
  expectOnceWhile(() => killService("control1", "nats-server")));

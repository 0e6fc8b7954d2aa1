import { test } from "vitest";
import { killService } from "#harness/faults.ts";
import { expectOnceWhile } from "#harness/once.ts";

test("while the broker is killed, nothing is carried out twice, each caller is told, and every server is heard of again", () =>
  expectOnceWhile(() => killService("control1", "nats-server")));

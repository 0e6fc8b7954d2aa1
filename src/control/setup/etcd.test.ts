import { expect, test } from "vitest";
import { findMember } from "./etcd.ts";

// As etcdctl 3.5 writes it; one that has been added and has not begun has no name yet.
const LIST = [
  "13b2a587229f8fc6, started, control1, https://10.77.5.2:2380, https://10.77.5.2:2379, false",
  "7aa14bddf4341525, unstarted, , https://10.77.5.4:2380, , false",
].join("\n");

test("a member of etcd is found by its address, whether it has begun or not", () => {
  expect(findMember(LIST, "https://10.77.5.2:2380")).toBe("13b2a587229f8fc6");
  expect(findMember(LIST, "https://10.77.5.4:2380")).toBe("7aa14bddf4341525");
  expect(findMember(LIST, "https://10.77.5.3:2380")).toBeNull();
  expect(findMember("", "https://10.77.5.3:2380")).toBeNull();
});

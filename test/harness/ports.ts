import { randomInt } from "node:crypto";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer } from "node:net";

const LOWEST = 20_000;

/**
 * A port of this address that nobody listens on. It is below those that the kernel gives to whoever asks for any port: else a
 * connection that another test makes meanwhile could take it before the caller listens.
 */
export async function freePort(address: string): Promise<number> {
  const [firstOfKernel = 32_768] = (await readFile("/proc/sys/net/ipv4/ip_local_port_range", "utf8")).split("\t").map(Number);
  for (;;) {
    const port = randomInt(LOWEST, firstOfKernel);
    if (await isFree(port, address)) return port;
  }
}

async function isFree(port: number, address: string): Promise<boolean> {
  const probe = createServer();
  try {
    await once(probe.listen(port, address), "listening");
    return true;
  } catch {
    return false;
  } finally {
    probe.close();
  }
}

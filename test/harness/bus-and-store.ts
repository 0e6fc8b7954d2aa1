import { afterAll, beforeAll, beforeEach } from "vitest";
import type { Store } from "#control/store/schema.ts";
import type { ControlFabric } from "#fabric/fabric.ts";
import { startBroker, type TestBroker } from "./broker.ts";
import { startPostgres, type TestPostgres } from "./postgres.ts";

/** What control works with, both real: a broker with control's end of it, and a store. */
export interface BusAndStore {
  broker: TestBroker;
  fabric: ControlFabric;
  store: Store;
}

/** For the whole file that calls it: the store is empty before every test. */
export function useBusAndStore(): Readonly<BusAndStore> {
  const both = {} as BusAndStore;
  let postgres: TestPostgres;
  beforeAll(async () => {
    [postgres, both.broker] = await Promise.all([startPostgres(), startBroker()]);
    both.fabric = await both.broker.joinAsControl();
  });
  afterAll(() => Promise.all([postgres.stop(), both.broker.stop()]));
  beforeEach(async () => {
    both.store = await postgres.emptyStore();
  });
  return both;
}

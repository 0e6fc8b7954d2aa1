/** Maps with at most `limit` at once, keeping the order; the first rejection rejects the whole, after those under way have ended. */
export async function mapParallel<T, R>(items: readonly T[], limit: number, work: (item: T) => Promise<R>): Promise<R[]> {
  const results = new Array<R>(items.length);
  const failures: unknown[] = [];
  const queue = items.entries();
  const worker = async (): Promise<void> => {
    for (const [index, item] of queue) {
      if (failures.length > 0) return;
      await work(item).then(
        (result) => {
          results[index] = result;
        },
        (thrown: unknown) => {
          failures.push(thrown);
        },
      );
    }
  };
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, worker));
  if (failures.length > 0) throw failures[0];
  return results;
}

/** Numbers from 0 to 1 that depend on the seed alone (mulberry32). */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Draws from each list in turn, no element twice, until there are `count` or none is left. */
export function drawInTurn<T>(lists: readonly (readonly T[])[], count: number, random: () => number): T[] {
  const left = lists.map((list) => [...list]);
  const drawn: T[] = [];
  for (let turn = 0; drawn.length < count && left.some((list) => list.length > 0); turn++) {
    const list = left[turn % left.length] ?? [];
    if (list.length > 0) drawn.push(...list.splice(Math.floor(random() * list.length), 1));
  }
  return drawn;
}

// Random numbers with a seed, the same as in rlcourse.playgrounds._random.

/** A function that gives the next 32 random bits, as an integer: mulberry32, a counter that is mixed. */
export function words(seed) {
  const a = Int32Array.of(seed); // in an array, since a number of 32 bits in a closure is slow
  return () => {
    a[0] += 0x6d2b79f5;
    let t = Math.imul(a[0] ^ (a[0] >>> 15), a[0] | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return t ^ (t >>> 14);
  };
}

/** A function that gives the next uniform number in [0, 1). */
export function uniforms(seed) {
  const next = words(seed);
  return () => (next() >>> 0) / 4294967296;
}

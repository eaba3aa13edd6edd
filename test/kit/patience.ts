/** For whatever is waited for: how soon it comes on a machine that is busy is no matter of a test. */
export const usualPatienceMs = 30_000

/** Rejects when `promise` takes longer, saying what was waited for: no test hangs, and each says where it stood. */
export async function within<T>(ms: number, what: string | (() => string), promise: Promise<T>): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => {
    reject(new Error(`waited ${ms} ms for ${typeof what === 'string' ? what : what()}`))
  }, ms)
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}

/**
 * Asks another program again and again until it answers what is wanted: for state that cannot be waited for in any
 * other way, as a balancer's view of its servers. Whoever waits on a busy machine waits long: how soon a thing is seen is
 * no matter of such a test.
 */
export async function eventually<T>(
  what: string,
  ask: () => Promise<T | undefined> | T | undefined,
  ms = usualPatienceMs,
): Promise<T> {
  const end = performance.now() + ms
  for (;;) {
    const answer = await ask()
    if (answer !== undefined) return answer
    if (performance.now() > end) throw new Error(`waited ${ms} ms for ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 25))
  }
}

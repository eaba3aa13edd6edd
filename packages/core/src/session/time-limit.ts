/** What a wait is bounded by. */
export interface TimeLimit {
  /** Aborted with the signal it was made of, or with a `TimeoutError` when the time is up. */
  readonly signal: AbortSignal
  /** The wait is over: the timer goes, and nothing aborts the signal any more. */
  readonly end: () => void
}

/**
 * Bounds a wait in time. As `AbortSignal.any` with `AbortSignal.timeout`, but for waits that end long before: of those two
 * each timer stays until its time is up, and where many sign in, many thousands of them stand at once.
 *
 * @param ms - from now on. The caller calls `end`, whatever came of the wait.
 */
export function limitTime(signal: AbortSignal, ms: number): TimeLimit {
  const limited = new AbortController()
  const onAbort = (): void => limited.abort(signal.reason)
  const timer = setTimeout(() => limited.abort(new DOMException('The time is up', 'TimeoutError')), ms)
  const end = (): void => {
    clearTimeout(timer)
    signal.removeEventListener('abort', onAbort)
  }
  if (signal.aborted) onAbort()
  else signal.addEventListener('abort', onAbort, { once: true })
  return { signal: limited.signal, end }
}

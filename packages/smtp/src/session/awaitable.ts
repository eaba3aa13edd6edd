import type { Awaitable } from '@postern/core'

/** Goes on with a value now, or when its promise settles: a step that waits for nothing makes no promise. */
export function after<T, U>(value: Awaitable<T>, next: (value: T) => Awaitable<U>): Awaitable<U> {
  // oxlint-disable-next-line promise/no-callback-in-promise -- `next` is what comes after, not a callback with an error
  return value instanceof Promise ? value.then((settled) => next(settled)) : next(value)
}

/** The same for a call that may fail, at once or later. */
export function attempt<T>(call: () => Awaitable<T>, onFailure: (error: unknown) => Awaitable<T>): Awaitable<T> {
  try {
    const value = call()
    return value instanceof Promise ? value.catch(onFailure) : value
  } catch (error) {
    return onFailure(error)
  }
}

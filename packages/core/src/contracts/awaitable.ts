/** A value now, or a promise of it. Hot paths await only what is a promise. */
export type Awaitable<T> = T | Promise<T>

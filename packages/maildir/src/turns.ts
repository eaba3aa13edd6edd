/** Runs one piece of work after the other, in order of asking: the queue of this process before a lock file. */
export class Turns {
  #last: Promise<unknown> = Promise.resolve()

  run<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(work, work)
    this.#last = turn.catch(() => undefined)
    return turn
  }
}

/** Lets other connections have the event loop between two pieces of a long piece of work. */
export const yieldTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

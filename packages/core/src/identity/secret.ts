import { inspect } from 'node:util'
import type { Secret } from '../contracts/auth.ts'

const redacted = '[secret]'

/** Wraps a password or token so that no log, error or JSON text shows it by mistake. */
export function secret(text: string): Secret {
  return new WrappedSecret(text)
}

class WrappedSecret implements Secret {
  readonly #text: string

  constructor(text: string) {
    this.#text = text
  }

  reveal(): string {
    return this.#text
  }

  toString(): string {
    return redacted
  }

  toJSON(): string {
    return redacted
  }

  [inspect.custom](): string {
    return redacted
  }
}

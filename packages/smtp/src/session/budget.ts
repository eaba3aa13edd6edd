import type { SmtpLimits } from '../limits.ts'

/** What a client may waste before it is sent away; mail that is accepted gives it back. */
export class Budget {
  readonly #limits: SmtpLimits
  #errors = 0
  #idleCommands = 0
  #overlongLines = 0
  #failedAuthentications = 0

  constructor(limits: SmtpLimits) {
    this.#limits = limits
  }

  countError(): void {
    this.#errors++
  }

  countIdleCommand(): void {
    this.#idleCommands++
  }

  countOverlongLine(): void {
    this.#overlongLines++
  }

  countFailedAuthentication(): void {
    this.#failedAuthentications++
  }

  /** A message was accepted. Failed sign-ins and lines too long are not forgiven for it. */
  restore(): void {
    this.#errors = this.#idleCommands = 0
  }

  /**
   * How long the answer to the latest error is held back: a clumsy client does not notice, and who guesses passwords pays
   * for each of them.
   */
  get errorDelayMs(): number {
    const { maxPromptErrors, errorDelayMs, maxErrorDelayMs } = this.#limits
    const counted = Math.max(this.#errors - maxPromptErrors, this.#failedAuthentications)
    return Math.min(maxErrorDelayMs, errorDelayMs * Math.max(0, counted))
  }

  /** What there was too much of, in words for the reply and the log. */
  get overdrawn(): string | undefined {
    const limits = this.#limits
    if (this.#errors >= limits.maxErrors) return 'Too many errors'
    if (this.#idleCommands >= limits.maxIdleCommands) return 'Too many commands without mail'
    if (this.#overlongLines >= limits.maxOverlongLines) return 'Too many lines too long'
    if (this.#failedAuthentications >= limits.maxFailedAuthentications) return 'Too many failed authentications'
    return undefined
  }
}

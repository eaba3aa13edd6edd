import type { MaildirProblem } from '@postern/maildir'
import type { ConfigProblem } from '../config/schema.ts'
import { limits } from '../limits.ts'
import type { Logger } from './logger.ts'
import { printable } from './text.ts'

/** What a worker tells beside the records of its connections. */
export class WorkerLog {
  readonly #logger: Logger

  constructor(logger: Logger) {
    this.#logger = logger
  }

  tally(isAway: boolean): void {
    if (isAway) {
      this.#logger.warn(
        { event: 'tally.away' },
        'the supervisor does not answer: this worker keeps limits by its own counts',
      )
    } else {
      this.#logger.info({ event: 'tally.back' }, 'limits hold for the machine again')
    }
  }

  dns(isSilent: boolean): void {
    if (isSilent) {
      this.#logger.warn(
        { event: 'dns.silent' },
        'no DNS server answers: mail goes on without the names of clients; see dns.servers',
      )
    } else {
      this.#logger.info({ event: 'dns.answers' }, 'a DNS server answers again')
    }
  }

  accountsUnusable(problems: readonly ConfigProblem[]): void {
    this.#logger.error(
      { event: 'accounts.unusable', problems },
      'the accounts file cannot be used: the accounts that were read before stay in force',
    )
  }

  storeProblem({ kind, account, mailbox, detail }: MaildirProblem): void {
    const fields = { event: 'store.problem', reason: kind, account: printable(account), mailbox: printable(mailbox) }
    this.#logger.warn(fields, printable(detail))
  }

  acceptFailed(error: Error): void {
    this.#logger.error(
      { event: 'accept.failed', reason: printable(error.message) },
      'the system could not accept a connection',
    )
  }

  fault(error: unknown): void {
    const stack = error instanceof Error ? (error.stack ?? error.message) : String(error)
    this.#logger.fatal(
      { event: 'internal-error', stack: printable(stack, limits.maxLogStackChars) },
      'this worker ends; another takes its place',
    )
  }
}

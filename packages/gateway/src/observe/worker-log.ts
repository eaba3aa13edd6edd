import type { MaildirProblem } from '@postern/maildir'
import type { ConfigProblem } from '../config/schema.ts'
import { limits } from '../limits.ts'
import type { InspectionRecord } from '../inspect/inspector.ts'
import type { PolicyNote } from '../policy/chain.ts'
import type { ListTrouble } from '../policy/dns-list.ts'
import type { Logger } from './logger.ts'
import { printable, printableStack } from './text.ts'

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

  /** What was found of one message; what became of it stands in `smtp.transaction`. */
  inspected({ authentication, scan, ...fields }: InspectionRecord): void {
    const isUnknown = [authentication, scan].some((found) => found !== undefined && 'unknown' in found)
    const record = {
      ...fields,
      ...authenticationFields(authentication),
      ...scanFields(scan),
      event: 'message.inspected',
    }
    this.#logger[isUnknown ? 'warn' : 'info'](record)
  }

  fleet(trouble: string | undefined): void {
    if (trouble === undefined) {
      this.#logger.info({ event: 'fleet.back' }, 'limits hold for the fleet again')
    } else {
      this.#logger.warn(
        { reason: printable(trouble), event: 'fleet.away' },
        'the server of policy.fleet does not answer: limits hold for this machine alone',
      )
    }
  }

  dnsList(zone: string, family: 4 | 6, trouble: ListTrouble | undefined): void {
    if (trouble === undefined) {
      this.#logger.info({ zone, family, event: 'dns.list-usable' }, `${zone} is asked again`)
    } else {
      const fields = { zone, family, reason: trouble, event: 'dns.list-unusable' }
      this.#logger.warn(fields, troubles[trouble](zone, family))
    }
  }

  /** A policy found something that the configuration wants to know, and nothing more. */
  noted({ connection, ...fields }: PolicyNote, detail: string): void {
    const record = { ...(connection !== undefined && { id: connection }), ...fields, event: 'policy.noted' }
    this.#logger.info(record, printable(detail, limits.maxLogSentenceChars))
  }

  memory(isShort: boolean, bytes: number): void {
    const mib = Math.round(bytes / 1_048_576)
    if (isShort) {
      this.#logger.error(
        { event: 'memory.short', mib },
        'over limits.worker-memory: new connections are told to come back; more workers, fewer connections each, or a higher limit',
      )
    } else {
      this.#logger.info({ event: 'memory.well', mib }, 'connections are accepted again')
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
    this.#logger.fatal(
      { event: 'internal-error', stack: printableStack(error) },
      'this worker ends; another takes its place',
    )
  }
}

/** Why a list of the DNS is left alone, and what to do. */
const troubles: Readonly<Record<ListTrouble, (zone: string, family: 4 | 6) => string>> = {
  silent: (zone) => `${zone} does not answer: no client is looked up there; see dns.servers`,
  'lists-nobody': (zone, family) =>
    family === 6
      ? `${zone} lacks the test entry of IPv6 (RFC 5782 section 5): it is taken to know IPv4 only`
      : `${zone} lacks the test entry 127.0.0.2 (RFC 5782 section 5): it is dead, or no such list; take it out of policy.dns-list`,
  'lists-everybody': (zone) =>
    `${zone} answers for 127.0.0.1, which no list may (RFC 5782 section 5): it lists everybody; take it out of policy.dns-list`,
  'refuses-us': (zone) =>
    `${zone} answers 127.255.255.0/24: it takes no questions from your DNS servers; ask it through a resolver of your own (dns.servers)`,
}

function authenticationFields(found: InspectionRecord['authentication']): Readonly<Record<string, string>> {
  if (found === undefined) return {}
  if ('unknown' in found) return { authentication: printable(found.unknown) }
  const { spf, dkim, dmarc, arc, fromDomain } = found
  return { spf, dkim, dmarc, arc, from: printable(fromDomain) }
}

function scanFields(found: InspectionRecord['scan']): Readonly<Record<string, string | number>> {
  if (found === undefined) return {}
  if ('unknown' in found) return { scanner: printable(found.unknown) }
  const { action, score, symbols } = found
  return { action, score, symbols: printable(symbols.join(' ')) }
}

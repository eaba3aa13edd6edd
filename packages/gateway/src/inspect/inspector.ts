/*
 * Looks at messages as a whole before a destination gets them: who vouches for them (SPF, DKIM, DMARC, ARC), and what a
 * scanner says. Both are asked at the same time, about the client that the identity names.
 */
import type { ClientNames } from '@postern/core'
import type { Destination, TransactionStart } from '@postern/smtp'
import type { AuthenticationConfig, DnsConfig, ScannerConfig } from '../config/schema.ts'
import type { PolicyDecisions } from '../policy/decisions.ts'
import { headerField, type HeaderEdits } from './header-edits.ts'
import { inspectedDestination, type Inspection, type InspectionVerdict } from './inspected-delivery.ts'
import { objectionToContent, objectionToSender, type Objection, type Unknown } from './judgement.ts'
import { MessageAuthentication } from './message-authentication.ts'
import { Scanner, type ScanAnswer } from './scanner.ts'
import { Spool, SpoolMemory } from './spool.ts'
import type { VerifiedMessage } from './verify-message.ts'

/** What was found, for the log: one line for each message. */
export interface InspectionRecord {
  readonly id: string
  readonly listener: string
  readonly client: string
  readonly transaction: string
  readonly ms: number
  readonly authentication?: VerifiedMessage | Unknown
  readonly scan?: ScanAnswer | Unknown
}

export interface InspectorOptions {
  readonly hostname: string
  readonly authentication?: AuthenticationConfig | undefined
  readonly scanner?: ScannerConfig | undefined
  readonly dns: DnsConfig
  /** For messages that are too large to wait in memory. */
  readonly spoolFolder: string
  readonly decisions: Pick<PolicyDecisions, 'count'>
  readonly onInspected: (record: InspectionRecord) => void
  /** Told what was found out of a message's sender, or that nothing could be, and how long that took. */
  readonly onAuthenticated?: (found: VerifiedMessage | undefined, ms: number) => void
}

export class Inspector {
  readonly #options: InspectorOptions
  readonly #authentication: MessageAuthentication | undefined
  readonly #scanner: Scanner | undefined
  readonly #memory = new SpoolMemory()
  /** By transaction: what several deliveries of one message share. */
  readonly #looks = new WeakMap<TransactionStart, Look>()

  constructor(options: InspectorOptions) {
    const { authentication, scanner, dns } = options
    this.#options = options
    this.#authentication = authentication && new MessageAuthentication(authentication, dns)
    this.#scanner = scanner && new Scanner(scanner)
  }

  /** The destination, for a listener; the same when nobody looks at its mail. */
  for(listener: string, destination: Destination): Destination {
    const { authentication, scanner } = this.#options
    const isChecked = [authentication, scanner].some((config) => config?.listeners.includes(listener) === true)
    return isChecked ? inspectedDestination(destination, (transaction) => this.#inspect(transaction)) : destination
  }

  /** Messages that wait for a thread. */
  get waiting(): number {
    return this.#authentication?.waiting ?? 0
  }

  async close(): Promise<void> {
    await Promise.all([this.#authentication?.close(), this.#scanner?.close()])
  }

  #inspect(transaction: TransactionStart): Inspection {
    const known = this.#looks.get(transaction)
    if (known !== undefined) return known.shared()
    const spool = new Spool(this.#options.spoolFolder, this.#memory)
    const look = new Look(spool, () => this.#judge(transaction, spool))
    this.#looks.set(transaction, look)
    return look.shared()
  }

  async #judge(transaction: TransactionStart, spool: Spool): Promise<InspectionVerdict> {
    const began = performance.now()
    const { connection, id } = transaction
    const { listener, identity } = connection
    const names = await connection.clientNames
    const [authentication, scan] = await Promise.all([
      this.#verify(transaction, spool),
      this.#scan(transaction, spool, names),
    ])
    this.#options.onInspected({
      id: connection.id,
      listener: listener.name,
      client: identity.client.address.toString(),
      transaction: id,
      ms: Math.round(performance.now() - began),
      ...(authentication && { authentication }),
      ...(scan && { scan }),
    })
    const objection = this.#objection(authentication, scan)
    if (objection !== undefined) {
      const { reason, policy, reply } = objection
      const verdict = reply.code < 500 ? 'defer' : 'refuse'
      this.#options.decisions.count({ listener: listener.name, stage: 'message', policy, verdict, reason })
      return { refused: reply }
    }
    return { edits: editsFor(authentication, scan) }
  }

  #objection(
    authentication: VerifiedMessage | Unknown | undefined,
    scan: ScanAnswer | Unknown | undefined,
  ): Objection | undefined {
    const { authentication: policy, scanner } = this.#options
    return (
      (authentication && policy && objectionToSender(authentication, policy)) ??
      (scan && scanner && objectionToContent(scan, scanner))
    )
  }

  /** Users who signed in are vouched for by that; their domain's records are for other hosts. */
  async #verify(transaction: TransactionStart, spool: Spool): Promise<VerifiedMessage | Unknown | undefined> {
    const { authentication: config, hostname } = this.#options
    const { connection, principal, hello, envelope } = transaction
    if (config === undefined || this.#authentication === undefined || principal !== undefined) return undefined
    if (!config.listeners.includes(connection.listener.name)) return undefined
    const began = performance.now()
    const tell = (found?: VerifiedMessage): void => this.#options.onAuthenticated?.(found, performance.now() - began)
    try {
      const found = await this.#authentication.verify({
        message: spool.message,
        ip: connection.identity.client.address.toString(),
        helo: hello?.domain ?? '',
        reversePath: envelope.reversePath,
        authservId: hostname,
      })
      tell(found)
      return found
    } catch (error) {
      tell()
      return { unknown: (error as Error).message }
    }
  }

  async #scan(
    { id, connection, principal, hello, envelope }: TransactionStart,
    spool: Spool,
    names: ClientNames | undefined,
  ): Promise<ScanAnswer | Unknown | undefined> {
    const { scanner: config, hostname } = this.#options
    if (config === undefined || this.#scanner === undefined) return undefined
    if (!config.listeners.includes(connection.listener.name) || spool.size > config.maxBytes) return undefined
    const { security } = connection
    try {
      return await this.#scanner.scan(spool.read(), spool.size, {
        ip: connection.identity.client.address.toString(),
        helo: hello?.domain ?? '',
        clientName: names?.verified,
        reversePath: envelope.reversePath,
        forwardPaths: envelope.forwardPaths,
        user: principal?.username,
        transaction: id,
        hostname,
        tlsVersion: security.kind === 'tls' ? security.version : undefined,
      })
    } catch (error) {
      return { unknown: (error as Error).message }
    }
  }
}

/** The spool of a message, and what was found: deliveries come and go, and the last one closes it. */
class Look {
  readonly #spool: Spool
  readonly #judge: () => Promise<InspectionVerdict>
  #verdict: Promise<InspectionVerdict> | undefined
  #users = 0

  constructor(spool: Spool, judge: () => Promise<InspectionVerdict>) {
    this.#spool = spool
    this.#judge = judge
  }

  shared(): Inspection {
    this.#users++
    return {
      append: (offset, chunk) => (offset === this.#spool.size ? this.#spool.append(chunk) : undefined),
      verdict: () => (this.#verdict ??= this.#judge()),
      read: () => this.#spool.read(),
      release: async () => {
        if (--this.#users === 0) await this.#spool.close()
      },
    }
  }
}

/** Our Authentication-Results stands above all other trace fields (RFC 8601 section 5). */
function editsFor(
  authentication: VerifiedMessage | Unknown | undefined,
  scan: ScanAnswer | Unknown | undefined,
): HeaderEdits {
  const onTop: string[] = []
  if (authentication !== undefined && 'field' in authentication && authentication.field !== '') {
    onTop.push(authentication.field)
  }
  if (scan === undefined || 'unknown' in scan) return { onTop, removed: new Set() }
  if (scan.action === 'add header' || scan.action === 'rewrite subject') onTop.push('X-Spam: Yes\r\n')
  for (const [name, value] of scan.addedHeaders) {
    const field = headerField(name, value)
    if (field !== undefined) onTop.push(field)
  }
  return {
    onTop,
    removed: new Set(scan.removedHeaders),
    ...(scan.action === 'rewrite subject' && { subject: scan.subject ?? '*** SPAM ***' }),
  }
}

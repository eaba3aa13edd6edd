/*
 * Rspamd's protocol: the message is the body of a POST to /checkv2, all that is known of its delivery stands in headers,
 * and the answer is JSON. The client is told as the one of the PROXY header, as everywhere.
 */
import { Readable } from 'node:stream'
import { Pool } from 'undici'
import type { ScannerConfig } from '../config/schema.ts'
import { limits } from '../limits.ts'

/** What is known of a message's delivery. */
export interface ScanQuestion {
  readonly ip: string
  readonly helo: string
  /** Forward-confirmed. */
  readonly clientName?: string | undefined
  readonly reversePath: string
  readonly forwardPaths: readonly string[]
  readonly user?: string | undefined
  readonly transaction: string
  readonly hostname: string
  readonly tlsVersion?: string | undefined
}

/** Rspamd's actions; what another version calls otherwise counts as `no action`. */
export type ScanAction = 'no action' | 'greylist' | 'add header' | 'rewrite subject' | 'soft reject' | 'reject'

export interface ScanAnswer {
  readonly action: ScanAction
  readonly score: number
  readonly requiredScore: number
  /** Rules that hit, the weightiest first. */
  readonly symbols: readonly string[]
  readonly subject?: string
  /** What the scanner wants to be said to the client. */
  readonly words?: string
  readonly addedHeaders: readonly (readonly [name: string, value: string])[]
  /** In lower case. */
  readonly removedHeaders: readonly string[]
}

const actions: ReadonlySet<string> = new Set<ScanAction>([
  'no action',
  'greylist',
  'add header',
  'rewrite subject',
  'soft reject',
  'reject',
])

export class Scanner {
  readonly #pool: Pool
  readonly #path: string
  readonly #timeoutMs: number

  constructor({ url, timeoutMs }: Pick<ScannerConfig, 'url' | 'timeoutMs'>) {
    const { origin, pathname } = new URL(url)
    this.#path = pathname === '/' ? '/checkv2' : pathname
    this.#timeoutMs = timeoutMs
    this.#pool = new Pool(origin, {
      connections: limits.scannerConnections,
      connect: { timeout: timeoutMs },
      headersTimeout: timeoutMs,
      bodyTimeout: timeoutMs,
    })
  }

  /** Rejects when there is no answer in time, or one that makes no sense. */
  async scan(message: AsyncIterable<Buffer>, bytes: number, question: ScanQuestion): Promise<ScanAnswer> {
    const answer = await this.#pool.request({
      method: 'POST',
      path: this.#path,
      headers: { ...headersFor(question), 'content-length': `${bytes}` },
      body: Readable.from(copies(message), { objectMode: false }),
      signal: AbortSignal.timeout(this.#timeoutMs),
    })
    if (answer.statusCode !== 200) {
      await answer.body.dump()
      throw new Error(`status ${answer.statusCode}`)
    }
    let text = ''
    for await (const chunk of answer.body.setEncoding('utf8')) {
      text += String(chunk)
      if (text.length > limits.maxScanAnswerChars) throw new Error('an answer that is too long')
    }
    return readAnswer(JSON.parse(text))
  }

  async close(): Promise<void> {
    await this.#pool.destroy()
  }
}

/** The stream reads ahead, and pieces of a spool are only lent. */
async function* copies(message: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  for await (const chunk of message) yield Buffer.from(chunk)
}

function headersFor(question: ScanQuestion): Record<string, string | string[]> {
  const { ip, helo, clientName, reversePath, forwardPaths, user, transaction, hostname, tlsVersion } = question
  const headers: Record<string, string | string[] | undefined> = {
    ip,
    helo,
    hostname: clientName,
    from: reversePath,
    rcpt: [...forwardPaths],
    user,
    'queue-id': transaction,
    'mta-name': hostname,
    'tls-version': tlsVersion,
  }
  const written: Record<string, string | string[]> = {}
  for (const [name, value] of Object.entries(headers)) {
    if (value !== undefined) written[name] = typeof value === 'string' ? asHeader(value) : value.map(asHeader)
  }
  return written
}

/** UTF-8, octet for octet; what would end a header is a question mark. */
function asHeader(value: string): string {
  return Buffer.from(value.replaceAll(/\p{Cc}/gu, '?')).toString('latin1')
}

/** @throws on an answer that is none. */
export function readAnswer(answer: unknown): ScanAnswer {
  if (!isRecord(answer) || typeof answer['action'] !== 'string') throw new Error('an answer without an action')
  const { action, score, required_score: requiredScore, symbols, subject, messages, milter } = answer
  const words = isRecord(messages) ? messages['smtp_message'] : undefined
  return {
    action: actions.has(action) ? (action as ScanAction) : 'no action',
    score: typeof score === 'number' ? score : 0,
    requiredScore: typeof requiredScore === 'number' ? requiredScore : 0,
    symbols: symbolsOf(symbols),
    ...(typeof subject === 'string' && { subject }),
    ...(typeof words === 'string' && { words }),
    addedHeaders: isRecord(milter) ? addedIn(milter['add_headers']) : [],
    removedHeaders: isRecord(milter) && isRecord(milter['remove_headers']) ? removedIn(milter['remove_headers']) : [],
  }
}

function symbolsOf(symbols: unknown): readonly string[] {
  if (!isRecord(symbols)) return []
  return Object.entries(symbols)
    .map(([name, symbol]) => ({
      name,
      score: isRecord(symbol) && typeof symbol['score'] === 'number' ? symbol['score'] : 0,
    }))
    .sort((a, b) => Math.abs(b.score) - Math.abs(a.score))
    .slice(0, limits.maxSymbolsTold)
    .map(({ name, score }) => `${name}(${score})`)
}

/** A value is a text, an object with one, or a list of either. */
function addedIn(added: unknown): (readonly [string, string])[] {
  if (!isRecord(added)) return []
  return Object.entries(added)
    .flatMap(([name, value]) =>
      [value].flat().map((one: unknown) => [name, isRecord(one) ? one['value'] : one] as const),
    )
    .flatMap(([name, value]) => (typeof value === 'string' ? [[name, value] as const] : []))
    .slice(0, limits.maxAddedFields)
}

/** Only all of a name can be taken out: 0. A single one of several stays. */
function removedIn(removed: Readonly<Record<string, unknown>>): string[] {
  return Object.entries(removed).flatMap(([name, which]) => (which === 0 ? [name.toLowerCase()] : []))
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/*
 * Runs in a thread: SPF (RFC 7208), DKIM (RFC 6376), DMARC (RFC 7489) and ARC (RFC 8617) of one message. Cheap for most
 * messages, and as dear as its sender likes for some, which is why it is not done where connections are served.
 */
import { createReadStream } from 'node:fs'
import { PassThrough, Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { authenticate } from 'mailauth'
import type { DnsConfig } from '../config/schema.ts'
import { DnsResolver } from '../dns/resolver.ts'
import { limits } from '../limits.ts'
import { editHeaderSection, endOfHeaderSection } from './header-edits.ts'
import type { SpooledMessage } from './spool.ts'

export interface VerifyJob {
  readonly message: SpooledMessage
  /** The client's address. */
  readonly ip: string
  /** How it greeted. */
  readonly helo: string
  /** The reverse-path; empty for the null one. */
  readonly reversePath: string
  /** Our name, in Authentication-Results (RFC 8601 section 2.5). */
  readonly authservId: string
  readonly dns: Pick<DnsConfig, 'servers' | 'timeoutMs' | 'tries'>
}

export interface VerifiedMessage {
  /** Results as RFC 8601 names them: `pass`, `fail`, `none`, `temperror`, … */
  readonly spf: string
  readonly dkim: string
  readonly dmarc: string
  readonly arc: string
  /** What the author's domain asks for when DMARC fails; `none` where it asks for nothing. */
  readonly dmarcPolicy: string
  /** The domain of the author, in From. */
  readonly fromDomain: string
  /** Who sealed a chain that holds. */
  readonly arcSealer?: string
  /** The field Authentication-Results, ended by CRLF. */
  readonly field: string
}

let resolver: DnsResolver | undefined

// Piscina wants the job as the default of its file.
// eslint-disable-next-line import/no-default-export -- see above
export default async function verifyMessage(job: VerifyJob): Promise<VerifiedMessage> {
  const { ip, helo, reversePath, authservId } = job
  resolver ??= new DnsResolver(job.dns, () => {}, false)
  const result = await authenticate(await withinSignatures(job.message), {
    ip,
    helo,
    sender: reversePath,
    mta: authservId,
    resolver: boundedResolver(resolver),
    // A bare SHA-1 says nothing any more (RFC 8301).
    rejectRsaSha1: true,
    disableBimi: true,
  })
  const { spf, dmarc, arc } = result
  const arcStatus = arc === false ? 'none' : arc.status.result
  const sealer = arc !== false && arc.signature !== false ? arc.signature?.signingDomain : undefined
  return {
    spf: spf === false ? 'none' : spf.status.result,
    dkim: bestOf(result.dkim.results.map(({ status }) => status.result)),
    dmarc: dmarc === false ? 'none' : dmarc.status.result,
    arc: arcStatus,
    dmarcPolicy: dmarc === false ? 'none' : (dmarc.policy ?? 'none'),
    fromDomain: dmarc === false ? '' : (dmarc.status.header?.from ?? dmarc.domain),
    ...(arcStatus === 'pass' && sealer !== undefined && { arcSealer: sealer.toLowerCase() }),
    field: authenticationResults(result.headers),
  }
}

/** One signature that holds is enough. */
function bestOf(results: readonly string[]): string {
  return results.find((result) => result === 'pass') ?? results[0] ?? 'none'
}

/** The one field of those that the library writes, and only when it is a field by our own rules. */
function authenticationResults(headers: string): string {
  const [field] = /^Authentication-Results:(?:[^\r\n]|\r\n[ \t])*\r\n/im.exec(headers) ?? []
  return field ?? ''
}

/** A message may make us ask so many questions, and no more: its sender names the domains. */
function boundedResolver(dns: DnsResolver): (name: string, type?: string) => Promise<string[] | string[][]> {
  let questions = 0
  return (name, type = 'A') => {
    questions++
    return questions > limits.maxDnsQuestionsPerMessage
      ? Promise.reject(Object.assign(new Error('too many questions'), { code: 'ESERVFAIL' }))
      : (dns.records(name, type) as Promise<string[] | string[][]>)
  }
}

/**
 * RFC 6376 section 6.1 leaves open how many signatures are looked at. Each may want the body hashed in another way, so
 * that a message could cost a minute; of a message with more than a bound none counts, and DMARC goes by SPF.
 */
async function withinSignatures(message: SpooledMessage): Promise<Readable> {
  const whole =
    message.kind === 'bytes'
      ? Readable.from([Buffer.from(message.bytes.buffer, message.bytes.byteOffset, message.bytes.byteLength)], {
          objectMode: false,
        })
      : createReadStream('', { fd: message.fd, start: 0, end: message.size - 1, autoClose: false })
  const out = new PassThrough()
  void pipeline(checked(whole), out).catch((error: unknown) => out.destroy(error as Error))
  return out
}

async function* checked(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let head: Buffer | undefined = Buffer.alloc(0)
  for await (const chunk of chunks) {
    if (head === undefined) {
      yield chunk
      continue
    }
    head = head.length === 0 ? chunk : Buffer.concat([head, chunk])
    const end = endOfHeaderSection(head)
    if (end === -1) continue
    yield withoutMany(head.subarray(0, end))
    yield head.subarray(end)
    head = undefined
  }
  if (head !== undefined) yield withoutMany(head)
}

function withoutMany(section: Buffer): Buffer {
  const text = section.toString('latin1')
  const signatures = text.match(/^dkim-signature[ \t]*:/gim)?.length ?? 0
  const sets = text.match(/^arc-(?:seal|message-signature)[ \t]*:/gim)?.length ?? 0
  const removed = new Set<string>()
  if (signatures > limits.maxSignatures) removed.add('dkim-signature')
  if (sets > 2 * limits.maxSignatures) {
    for (const name of ['arc-seal', 'arc-message-signature', 'arc-authentication-results']) removed.add(name)
  }
  return removed.size === 0 ? section : editHeaderSection(section, { onTop: [], removed })
}

/*
 * Looking at a backend without a client: for health checks, for what may be offered on its behalf, and for an operator
 * who wants to know before mail flows. Nothing is delivered.
 */
import { clientLimits } from '../limits.ts'
import type { Reply } from '../wire/reply.ts'
import type { Capabilities } from './capabilities.ts'
import { connect, type PrecedingHeader, type UpstreamConnection } from './connect.ts'
import { sayOf, type UpstreamFailure } from './failures.ts'
import { notOffered } from './announce.ts'
import { open } from './opening.ts'
import type { Announcement, Backend, RelayOptions } from './options.ts'

/** How to look: as a relay with these options would open a connection, but for ourselves. */
export type InspectOptions = Omit<RelayOptions, 'backends' | 'credentials' | 'observer' | 'proxyTlvs'>

/** What a backend says of itself. */
export interface BackendReport {
  /** What it offers behind TLS, where TLS is spoken: keyword to parameters, in upper case. */
  readonly capabilities: ReadonlyMap<string, readonly string[]>
  readonly isSecure: boolean
}

/** What came of looking. */
export type Inspection =
  | { readonly ok: true; readonly report: BackendReport }
  | { readonly ok: false; readonly failure: UpstreamFailure }

/**
 * Opens a connection as a relay would, hears what is offered, and quits. Where the client is announced by a PROXY header,
 * this connection announces nobody: version 2 says LOCAL, version 1 the addresses of the connection itself. XCLIENT and
 * XFORWARD are not said, but must be offered, since without them no mail would go.
 */
export async function inspectBackend(backend: Backend, options: InspectOptions): Promise<Inspection> {
  const reaching = await reach(backend, options)
  if (!reaching.ok) return reaching
  const { connection, capabilities } = reaching
  connection.quit()
  return { ok: true, report: { capabilities, isSecure: connection.isSecure } }
}

/** Whether a line that holds a dot and is ended by LF alone ends a message for a backend. */
export interface NewlineProbe {
  /**
   * `ends`: it takes as two messages what is smuggled through a gateway that hands bare LF on. This one does not.
   * `refuses`: it ends the transaction over bare LF. `unknown`: the recipient or DATA was refused, or the connection lost.
   */
  readonly verdict: 'ends' | 'refuses' | 'does-not-end' | 'unknown'
  /** What was said, or what went wrong, for the operator. */
  readonly detail: string
}

/**
 * Tries it without leaving a message behind. The message has so many Received fields that every server refuses it as one
 * that goes round in a loop (RFC 5321 §6.3), its reverse-path is empty, so that nothing would bounce (RFC 5321 §4.5.5),
 * and its true end is never sent: the connection is cut instead, and a server that waits for the end has no message.
 *
 * @param probe.recipient - one that the backend takes; every server takes `postmaster` (RFC 5321 §4.5.1).
 * @param probe.waitMs - how long a reply to the false end may take.
 */
export async function probeBareNewline(
  backend: Backend,
  options: InspectOptions,
  probe: { readonly recipient: string; readonly waitMs: number },
): Promise<NewlineProbe> {
  const { recipient, waitMs } = probe
  const reaching = await reach(backend, options)
  if (!reaching.ok) return unknown(reaching.failure.detail)
  const { connection } = reaching
  const { dialogue } = connection
  const patienceMs = dialogue.limits.replyPatienceMs
  for (const [command, wanted] of [
    ['MAIL FROM:<>', 250],
    [`RCPT TO:<${recipient}>`, 250],
    ['DATA', 354],
  ] as const) {
    const answer = await dialogue.ask({ command: `${command}\r\n`, patienceMs, mayContinue: true })
    if (!answer.ok) return unknown(answer.failure.detail)
    if (answer.reply.code !== wanted && !isSuccess(answer.reply, wanted)) {
      connection.quit()
      return unknown(`${command}: ${sayOf(answer.reply)}`)
    }
  }
  const looping = 'Received: from loop.invalid by loop.invalid; Thu, 1 Jan 1970 00:00:00 +0000\r\n'.repeat(loopingHops)
  const sending = dialogue.sendData(Buffer.from(`${looping}Subject: probe\r\n\r\nprobe\n.\n`))
  const answer = await dialogue.expect(waitMs)
  dialogue.lost('the probe is over')
  await sending
  if (!answer.ok) {
    const { code, detail, reply } = answer.failure
    if (reply === undefined && code !== 'SMTP_UPSTREAM_TIMEOUT') return unknown(detail)
    return reply === undefined ? { verdict: 'does-not-end', detail: 'it waited for the true end' } : judge(reply)
  }
  return judge(answer.reply)
}

function judge(reply: Reply): NewlineProbe {
  const isAboutNewlines = reply.code >= 400 && /\b(?:bare|new ?lines?|line ?feeds?|LF)\b/i.test(reply.lines.join(' '))
  return { verdict: isAboutNewlines ? 'refuses' : 'ends', detail: sayOf(reply) }
}

function unknown(detail: string): NewlineProbe {
  return { verdict: 'unknown', detail }
}

/** More than any server lets through: RFC 5321 §6.3 asks for a limit of at least 100. */
const loopingHops = 200

function isSuccess({ code }: Reply, wanted: number): boolean {
  return wanted < 300 && code >= 200 && code < 300
}

type Reaching =
  | { readonly ok: true; readonly connection: UpstreamConnection; readonly capabilities: Capabilities }
  | { readonly ok: false; readonly failure: UpstreamFailure }

async function reach(backend: Backend, options: InspectOptions): Promise<Reaching> {
  const { openingPatienceMs } = { ...clientLimits, ...options.limits }
  const connecting = await connect(backend, options, headers[options.announcement], openingPatienceMs, () => {})
  if (!connecting.ok) return connecting
  const { connection } = connecting
  // A server may offer less to a balancer that speaks for itself than to its clients, and nothing secret is said here.
  // Where STARTTLS is offered, what it must prove it must prove here as well.
  const isNobodys = options.tls === 'starttls' && headers[options.announcement] !== undefined
  const opening = await open(connection, isNobodys ? { ...options, tls: 'optional' } : options, undefined)
  if (!opening.ok) {
    const isTlsOptional = options.tls === 'optional' && opening.failure.code === 'SMTP_UPSTREAM_TLS'
    return isTlsOptional ? reach(backend, { ...options, tls: 'off' }) : opening
  }
  const { capabilities } = opening
  connection.opened()
  const verb = verbs[options.announcement]
  const mustOffer = verb !== undefined && options.isAnnouncementOptional !== true
  if (mustOffer && capabilities.get(verb)?.includes('ADDR') !== true) {
    return connection.dialogue.fail('SMTP_UPSTREAM_REFUSES_US', notOffered(verb))
  }
  return { ok: true, connection, capabilities }
}

/** How the client would be announced behind EHLO. */
const verbs: Readonly<Partial<Record<Announcement, 'XCLIENT' | 'XFORWARD'>>> = {
  xclient: 'XCLIENT',
  xforward: 'XFORWARD',
}

/** What goes before a connection that is nobody's. */
const headers: Readonly<Record<Announcement, PrecedingHeader>> = {
  none: undefined,
  xclient: undefined,
  xforward: undefined,
  'proxy-v1': 'own',
  'proxy-v2': { version: 2, command: 'local' },
}

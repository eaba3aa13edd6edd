/*
 * From a connection to the point where MAIL may be said. The order is fixed, and reads from top to bottom:
 *
 *   PROXY header and implicit TLS (connect.ts) · greeting · EHLO · STARTTLS · EHLO · XCLIENT · EHLO · AUTH · XFORWARD
 *
 * After STARTTLS and after XCLIENT all that the server offered is forgotten and asked anew (RFC 3207 §4.2). Nothing here
 * is pipelined: each of these commands must be the last of its group.
 */
import type { ClientNames } from '@postern/core'
import type { TransactionStart } from '../session/destination.ts'
import { encodeAnnouncement, type Attribute } from '../wire/announcement.ts'
import { notOffered, xclientAttributes, xforwardAttributes } from './announce.ts'
import { signIn } from './authenticate.ts'
import { capabilitiesOf, type Capabilities } from './capabilities.ts'
import type { Securable, UpstreamDialogue } from './dialogue.ts'
import { sayOf, type UpstreamFailure } from './failures.ts'
import type { RelayOptions } from './options.ts'

/** How to open: a part of what a relay is told. */
export type OpeningOptions = Pick<
  RelayOptions,
  | 'protocol'
  | 'hostname'
  | 'tls'
  | 'announcement'
  | 'isAnnouncementOptional'
  | 'credentials'
  | 'mechanisms'
  | 'authRequiresTls'
>

export type Opening =
  | { readonly ok: true; readonly capabilities: Capabilities }
  | { readonly ok: false; readonly failure: UpstreamFailure }

/** @param start - what is announced, and who signs in; without it only what the server offers is asked. */
export async function open(
  connection: Securable,
  options: OpeningOptions,
  start: TransactionStart | undefined,
): Promise<Opening> {
  const { dialogue } = connection
  const { limits } = dialogue

  const greeting = await dialogue.expect(limits.greetingPatienceMs)
  if (!greeting.ok) return greeting
  if (greeting.reply.code !== 220) return dialogue.fail('SMTP_UPSTREAM_UNAVAILABLE', sayOf(greeting.reply))

  let opening = await hello(dialogue, options)
  if (!opening.ok) return opening

  if (wantsStartTls(connection, options, opening.capabilities)) {
    opening = await startTls(connection, options, opening.capabilities)
    if (!opening.ok) return opening
  }
  if (start !== undefined && options.announcement === 'xclient') {
    const attributes = xclientAttributes(start, await namesOf(start))
    const told = await announce(dialogue, options, opening.capabilities, 'XCLIENT', attributes)
    if (!told.ok) return told
    // One exchange: what the server offers now is not looked at for another (it may offer XCLIENT for ever).
    if (told.hasSaid) opening = await hello(dialogue, options)
    if (!opening.ok) return opening
  }
  if (start === undefined) return opening
  const credentials = typeof options.credentials === 'function' ? options.credentials(start) : options.credentials
  if (credentials !== undefined) {
    const failure = await signIn(connection, credentials, opening.capabilities, options)
    if (failure !== undefined) return { ok: false, failure }
  }
  return announceTransaction(dialogue, options, opening.capabilities, start)
}

/** What goes before each MAIL, also on a connection that was opened for another: servers forget XFORWARD with the message. */
export async function announceTransaction(
  dialogue: UpstreamDialogue,
  options: OpeningOptions,
  capabilities: Capabilities,
  start: TransactionStart,
): Promise<Opening> {
  if (options.announcement === 'xforward') {
    const attributes = xforwardAttributes(start, await namesOf(start))
    const told = await announce(dialogue, options, capabilities, 'XFORWARD', attributes)
    if (!told.ok) return told
  }
  return { ok: true, capabilities }
}

/** A name that comes late comes within the time of the lookup, which is bounded where it began. */
async function namesOf({ connection }: TransactionStart): Promise<ClientNames> {
  return (await connection.clientNames) ?? {}
}

/** RFC 5321 §4.1.1.1, RFC 2033 §4.1. A server without EHLO is none that mail should be relayed to today. */
async function hello(dialogue: UpstreamDialogue, { protocol, hostname }: OpeningOptions): Promise<Opening> {
  const verb = protocol === 'lmtp' ? 'LHLO' : 'EHLO'
  const answer = await dialogue.ask({
    command: `${verb} ${hostname}\r\n`,
    patienceMs: dialogue.limits.replyPatienceMs,
  })
  if (!answer.ok) return answer
  const { reply } = answer
  if (reply.code === 250) return { ok: true, capabilities: capabilitiesOf(reply) }
  return dialogue.fail(refusalCode(reply.code), `${verb}: ${sayOf(reply)}`)
}

/** A temporary refusal is the state of the server, a permanent one its configuration, or ours. */
function refusalCode(code: number): 'SMTP_UPSTREAM_UNAVAILABLE' | 'SMTP_UPSTREAM_REFUSES_US' {
  return code >= 400 && code < 500 ? 'SMTP_UPSTREAM_UNAVAILABLE' : 'SMTP_UPSTREAM_REFUSES_US'
}

function wantsStartTls({ isSecure }: Securable, { tls }: OpeningOptions, capabilities: Capabilities): boolean {
  if (isSecure) return false
  return tls === 'starttls' || (tls === 'optional' && capabilities.has('STARTTLS'))
}

/** RFC 3207. Whatever goes wrong ends the connection: nothing more is said in the clear. */
async function startTls(connection: Securable, options: OpeningOptions, offered: Capabilities): Promise<Opening> {
  const { dialogue } = connection
  // Stripped by somebody on the way, or never configured: from here the two look the same.
  if (!offered.has('STARTTLS')) return dialogue.fail('SMTP_UPSTREAM_TLS', 'STARTTLS is not offered')
  const { replyPatienceMs } = dialogue.limits
  const answer = await dialogue.ask({ command: 'STARTTLS\r\n', patienceMs: replyPatienceMs, endsCleartext: true })
  if (!answer.ok) return answer
  if (answer.reply.code !== 220) return dialogue.fail('SMTP_UPSTREAM_TLS', `STARTTLS: ${sayOf(answer.reply)}`)
  await connection.startTls()
  return hello(dialogue, options)
}

type Telling = { readonly ok: true; readonly hasSaid: boolean } | Extract<Opening, { readonly ok: false }>

/** XCLIENT is answered 220 by Postfix, as a new greeting, and by others 250. */
async function announce(
  dialogue: UpstreamDialogue,
  { isAnnouncementOptional = false }: OpeningOptions,
  capabilities: Capabilities,
  verb: 'XCLIENT' | 'XFORWARD',
  attributes: readonly Attribute[],
): Promise<Telling> {
  const offered = new Set(capabilities.get(verb))
  // Without an address every client would pass for us, with our rights.
  if (!offered.has('ADDR') && !isAnnouncementOptional) {
    return dialogue.fail('SMTP_UPSTREAM_REFUSES_US', notOffered(verb))
  }
  const commands = encodeAnnouncement(verb, attributes, offered, dialogue.limits.maxAttributeCommandBytes)
  for (const command of commands) {
    const answer = await dialogue.ask({ command, patienceMs: dialogue.limits.replyPatienceMs })
    if (!answer.ok) return answer
    const { reply } = answer
    if (reply.code >= 300) return dialogue.fail(refusalCode(reply.code), `${verb}: ${sayOf(reply)}`)
  }
  return { ok: true, hasSaid: commands.length > 0 }
}

/*
 * XCLIENT and XFORWARD (Postfix's XCLIENT_README and XFORWARD_README): a front end says for whom it speaks.
 *
 * XCLIENT changes the client for all that follows, so it is worth what the PROXY header is worth, and is taken only
 * from networks that are listed for it; being trusted to send a PROXY header is no such listing. XFORWARD is for the
 * log alone.
 */
import { endpoint, type Awaitable, type ClientIdentity, type ConnectionInfo } from '@postern/core'
import { ok } from '../../wire/codes.ts'
import { parseXclient, parseXforward, type AnnouncedClient } from '../../wire/xclient.ts'
import { Admission } from '../admission.ts'
import { refusalAnswer, type Answer } from '../answer.ts'
import { after } from '../awaitable.ts'
import type { Dialogue } from '../dialogue.ts'
import { faultAnswer } from '../faults.ts'
import { greetingReply } from '../greeting.ts'
import { firstRefusal } from '../policies.ts'

export function xclient(dialogue: Dialogue, argument: string): Awaitable<Answer> {
  if (!dialogue.offersXclient) return notListed(dialogue, 'XCLIENT')
  const announced = parseXclient(argument)
  if (!announced.ok) return faultAnswer(announced.code)
  const { connection, options } = dialogue
  const identity = identityOf(connection.identity, announced.value)
  const { name } = announced.value
  const admission = new Admission(identity, connection.listener)
  const { clientNames: _, ...known } = withoutFrontEnd(connection)
  // The names that were looked up are those of the front end; the one it announces it has verified.
  dialogue.startOver({ ...known, identity, ...(name !== undefined && { clientNames: { verified: name } }) })
  dialogue.admission?.release()
  dialogue.admission = admission
  return after(admission.ask(options.policies), (refusal): Awaitable<Answer> => {
    if (refusal !== undefined) {
      return { ...refusalAnswer(refusal, 'connect', options.hostname), next: { close: 'refused' } }
    }
    options.observer?.announced?.({ connection: dialogue.connection, verb: 'XCLIENT', client: toldOf(announced.value) })
    return welcome(dialogue, announced.value)
  })
}

export function xforward(dialogue: Dialogue, argument: string): Answer {
  if (!dialogue.offersXforward) return notListed(dialogue, 'XFORWARD')
  const announced = parseXforward(argument)
  if (!announced.ok) return faultAnswer(announced.code)
  const client = Object.fromEntries(Object.entries(announced.value).map(([name, value]) => [name.toLowerCase(), value]))
  dialogue.options.observer?.announced?.({ connection: dialogue.connection, verb: 'XFORWARD', client })
  return { reply: ok }
}

/** The session begins again with the greeting, for the client that was announced and in the words that it said. */
function welcome(dialogue: Dialogue, { hello, protocol, login }: AnnouncedClient): Awaitable<Answer> {
  const { connection, options } = dialogue
  if (login !== undefined) dialogue.principal = { account: login, username: login }
  const greeting: Answer = { reply: greetingReply(options) }
  if (hello === undefined) return greeting
  const asked = firstRefusal(options.policies, (policy) => policy.onGreeting?.({ connection, domain: hello }))
  return after(asked, (refusal) => {
    if (refusal !== undefined) return refusalAnswer(refusal, 'command', options.hostname)
    const verb = protocol === 'SMTP' ? 'HELO' : 'EHLO'
    dialogue.learnExtensions()
    dialogue.hello = { verb: dialogue.isLmtp ? 'LHLO' : verb, domain: hello }
    return greeting
  })
}

/** What is not announced stays as it was; a port belongs to its address. */
function identityOf(before: ClientIdentity, announced: AnnouncedClient): ClientIdentity {
  const { address = before.client.address, destination = before.destination.address } = announced
  const port = announced.port ?? (announced.address === undefined ? before.client.port : 0)
  return Object.freeze({
    ...before,
    origin: 'proxied',
    client: endpoint(address, port),
    destination: endpoint(destination, announced.destinationPort ?? before.destination.port),
  })
}

/**
 * A certificate that was shown is the front end's, and signs nobody else in. So is the channel: what the client behind it
 * binds itself to is another one.
 */
export function withoutFrontEnd(connection: ConnectionInfo): ConnectionInfo {
  if (connection.security.kind !== 'tls') return connection
  const { clientCommonName: _, tlsExporter: __, ...security } = connection.security
  return { ...connection, security }
}

function toldOf({ address, port, name, hello, login }: AnnouncedClient): Readonly<Record<string, string>> {
  const told = { addr: address?.toString(), port: port?.toString(), name, helo: hello, login }
  return Object.fromEntries(Object.entries(told).flatMap(([key, value]) => (value === undefined ? [] : [[key, value]])))
}

function notListed({ connection }: Dialogue, verb: 'XCLIENT' | 'XFORWARD'): Answer {
  const detail = `${verb} from ${connection.identity.client.address.toString()}, which is not listed for it`
  return {
    reply: { code: 550, enhanced: '5.7.0', lines: ['Insufficient authorization'] },
    refused: { reason: 'listed', detail },
  }
}

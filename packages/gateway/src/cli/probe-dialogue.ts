/*
 * What a probe says, and what it learns from the answers. Each step is told while it happens, so that a probe that
 * hangs shows where.
 */
import type { TlsMode } from '@postern/core'
import { printable } from '../observe/text.ts'
import { ProbeFailure, type ProbeConnection } from './probe-connection.ts'

export interface ProbeDialogue {
  readonly connection: ProbeConnection
  readonly tls: TlsMode
  /** For SNI. */
  readonly serverName: string
  /** `>` what we sent, `<` what the server said, `*` what happened. */
  readonly tell: (mark: '>' | '<' | '*', text: string) => Promise<void>
}

/** Addresses that the server named in its replies: whom it took us for. IMAP servers name none. */
export type Seen = readonly string[]

/** RFC 5321 section 4.2: a code, then `-` on all lines but the last. */
export async function probeSmtp(dialogue: ProbeDialogue): Promise<Seen> {
  const { connection, tls, serverName, tell } = dialogue
  if (tls === 'implicit') await tell('*', await connection.startTls(serverName))
  expectCode(await reply(dialogue), 2)
  let ehlo = await command(dialogue, `EHLO ${ehloName}`)
  expectCode(ehlo, 2)
  if (tls === 'starttls') {
    expectCode(await command(dialogue, 'STARTTLS'), 2)
    await tell('*', await connection.startTls(serverName))
    // RFC 3207 section 4.2: everything said before is forgotten.
    ehlo = await command(dialogue, `EHLO ${ehloName}`)
    expectCode(ehlo, 2)
  }
  await command(dialogue, 'QUIT')
  return addressesIn(ehlo[0] ?? '')
}

/** RFC 9051: greeting, capabilities, and leave. */
export async function probeImap(dialogue: ProbeDialogue): Promise<Seen> {
  const { connection, tls, serverName, tell } = dialogue
  if (tls === 'implicit') await tell('*', await connection.startTls(serverName))
  const greeting = await connection.readLine()
  await tell('<', greeting)
  if (!/^\* OK\b/i.test(greeting)) throw refused(greeting)
  if (tls === 'starttls') {
    await tagged(dialogue, 'p1', 'STARTTLS')
    await tell('*', await connection.startTls(serverName))
  }
  await tagged(dialogue, 'p2', 'CAPABILITY')
  await tagged(dialogue, 'p3', 'LOGOUT')
  return addressesIn(greeting)
}

/** Good enough for a server that checks the form: reserved by RFC 6761. */
const ehloName = 'probe.invalid'

async function command(dialogue: ProbeDialogue, text: string): Promise<readonly string[]> {
  dialogue.connection.write(`${text}\r\n`)
  await dialogue.tell('>', text)
  return reply(dialogue)
}

async function reply({ connection, tell }: ProbeDialogue): Promise<readonly string[]> {
  const lines: string[] = []
  for (;;) {
    const line = await connection.readLine()
    await tell('<', line)
    lines.push(line)
    if (!/^[2-5][0-9]{2}(?:[ -]|$)/.test(line))
      throw new ProbeFailure('protocol', `that is no SMTP: "${printable(line, 60)}"`)
    if (line[3] !== '-') return lines
    if (lines.length >= maxReplyLines) throw new ProbeFailure('protocol', `a reply of more than ${maxReplyLines} lines`)
  }
}

/** An EHLO reply has a line for each extension; some servers have thirty. */
const maxReplyLines = 200

function expectCode(lines: readonly string[], firstDigit: number): void {
  const line = lines.at(-1) ?? ''
  if (line.startsWith(String(firstDigit))) return
  throw refused(line)
}

async function tagged({ connection, tell }: ProbeDialogue, tag: string, text: string): Promise<void> {
  connection.write(`${tag} ${text}\r\n`)
  await tell('>', `${tag} ${text}`)
  for (let lines = 0; lines < maxReplyLines; lines += 1) {
    const line = await connection.readLine()
    await tell('<', line)
    if (line.startsWith(`${tag} `)) {
      if (/^\S+ OK\b/i.test(line)) return
      throw refused(line)
    }
  }
  throw new ProbeFailure('protocol', `a response of more than ${maxReplyLines} lines`)
}

function refused(line: string): ProbeFailure {
  return new ProbeFailure('protocol', `the server refuses: ${printable(line, 200)}`)
}

/** Address literals (RFC 5321 section 4.1.3) and bare addresses. */
function addressesIn(text: string): Seen {
  const words = text.replaceAll(/IPv6:/gi, '').match(/[0-9A-Fa-f:.]{3,}/g) ?? []
  return words
    .map((word) => word.replace(/[.:]$/, ''))
    .filter((word) => /^\d+\.\d+\.\d+\.\d+$|^[0-9A-Fa-f]*:[0-9A-Fa-f:.]+$/.test(word))
}

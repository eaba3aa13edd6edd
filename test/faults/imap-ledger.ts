import { setTimeout as pause } from 'node:timers/promises'
import { BelievingSession } from '../kit/imap-session.ts'
import { contentOf } from '../kit/persistent-senders.ts'
import type { Account } from '../kit/gateway.ts'

/** What IMAP clients know of one mailbox: what they were told, and what was acknowledged to them. */
export interface MailboxLedger {
  /** UIDVALIDITY and UID to the serial of the message that an acknowledged APPEND put there. */
  readonly appended: Map<string, number>
  /** The same key to the flags that an acknowledged STORE set, of messages that nobody removes. */
  readonly flagged: Map<string, ReadonlySet<string>>
  /** Keys whose removal was acknowledged. */
  readonly removed: Set<string>
  /** Keys whose removal was begun: they may be there or not. */
  readonly leaving: Set<string>
  /** Serials whose APPEND was not answered: there or not, and perhaps twice, since nobody tries again. */
  readonly inDoubt: Set<number>
  /** What contradicts what was told before. Empty when all is well. */
  readonly contradictions: string[]
  /** Sessions that broke, or were refused. */
  broken: number
  acknowledged: number
}

export interface ImapClients {
  readonly ledger: MailboxLedger
  /** Resolves when so many more commands were acknowledged. */
  readonly acknowledgedMore: (count: number) => Promise<void>
  readonly stop: () => Promise<void>
}

export interface ImapClientOptions {
  /** IMAP over TLS. */
  readonly port: number
  readonly account: Account
  readonly clients: number
  /** How many messages each client keeps before it removes its oldest. */
  readonly keeps: number
  /** Between two commands of a client. */
  readonly pauseMs?: number
}

const keywords = ['\\Seen', '\\Flagged', '\\Answered', 'kept', 'urgent'] as const
/** Who is refused comes again, and not in the same breath. */
const retryMs = 20

let serials = 0

/** Clients that append, set flags and remove in one INBOX, each its own messages, and connect again when they are cut off. */
export function startImapClients(options: ImapClientOptions): ImapClients {
  const ledger: MailboxLedger = {
    appended: new Map(),
    flagged: new Map(),
    removed: new Set(),
    leaving: new Set(),
    inDoubt: new Set(),
    contradictions: [],
    broken: 0,
    acknowledged: 0,
  }
  const stopping = new AbortController()
  const waiting = new Set<() => void>()
  const told = (): void => {
    ledger.acknowledged += 1
    for (const look of waiting) look()
  }
  const client = async (): Promise<void> => {
    const mine: string[] = []
    while (!stopping.signal.aborted) {
      let session: BelievingSession | undefined
      try {
        session = await BelievingSession.open(options.port, options.account.name, options.account.password)
        const validity = await selected(session)
        while (!stopping.signal.aborted) {
          await step(session, validity, mine, options.keeps, ledger, told)
          if (options.pauseMs !== undefined) await pause(options.pauseMs)
        }
      } catch (error) {
        if (!isBreak(error)) ledger.contradictions.push(String(error))
        ledger.broken += 1
        await pause(retryMs)
      } finally {
        await session?.close()
      }
    }
  }
  const running = Array.from({ length: options.clients }, client)
  return {
    ledger,
    acknowledgedMore: async (count) => {
      const goal = ledger.acknowledged + count
      if (count <= 0) return
      const { promise, resolve } = Promise.withResolvers<void>()
      const look = (): void => {
        if (ledger.acknowledged < goal) return
        waiting.delete(look)
        resolve()
      }
      waiting.add(look)
      await promise
    },
    stop: async () => {
      stopping.abort()
      await Promise.all(running)
    },
  }
}

/**
 * A connection that broke is what this is made for, and one that was not served in time: it waited for a worker that was
 * killed before it came to it. Anything else is a find.
 */
function isBreak(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  return 'code' in error || /^(?:closed|BYE|Client network socket disconnected|waited \d+ ms)/.test(error.message)
}

async function selected(session: BelievingSession): Promise<string> {
  const { untagged } = await session.ask('SELECT INBOX')
  const validity = untagged.map((line) => /\[UIDVALIDITY (\d+)\]/.exec(line)?.[1]).find((each) => each !== undefined)
  if (validity === undefined) throw new Error('SELECT tells no UIDVALIDITY')
  return validity
}

/** One message: appended, marked, looked at; and the oldest removed. */
async function step(
  session: BelievingSession,
  validity: string,
  mine: string[],
  keeps: number,
  ledger: MailboxLedger,
  told: () => void,
): Promise<void> {
  const serial = (serials += 1)
  ledger.inDoubt.add(serial)
  const { status, text } = await session.ask('APPEND INBOX', `From: carol@example.org\r\n${contentOf(serial)}`)
  if (status !== 'OK') return
  const [, appendedIn, uid] = /\[APPENDUID (\d+) (\d+)\]/.exec(text) ?? []
  if (appendedIn !== validity || uid === undefined) {
    ledger.contradictions.push(`APPEND under UIDVALIDITY ${validity}: ${text}`)
    return
  }
  const key = `${validity} ${uid}`
  const other = ledger.appended.get(key)
  if (other !== undefined) ledger.contradictions.push(`UID ${key} is ${other} and ${serial}`)
  ledger.appended.set(key, serial)
  ledger.inDoubt.delete(serial)
  mine.push(key)
  told()

  const flags = new Set(keywords.filter((_, index) => ((serial >> index) & 1) === 1))
  if (flags.size > 0) {
    const stored = await session.ask(`UID STORE ${uid} +FLAGS.SILENT (${[...flags].join(' ')})`)
    if (stored.status === 'OK') {
      ledger.flagged.set(key, flags)
      told()
    }
  }
  if (mine.length <= keeps) return
  const oldest = mine.shift() ?? ''
  ledger.leaving.add(oldest)
  const [oldValidity, old] = oldest.split(' ')
  if (oldValidity !== validity) return
  const isMarked = (await session.ask(`UID STORE ${old} +FLAGS.SILENT (\\Deleted)`)).status === 'OK'
  if (!isMarked || (await session.ask(`UID EXPUNGE ${old}`)).status !== 'OK') return
  ledger.removed.add(oldest)
  told()
}

/** What is not as the ledger says, seen by a session of its own; empty when all is well. */
export async function lookThrough(port: number, account: Account, ledger: MailboxLedger): Promise<readonly string[]> {
  const wrong = [...ledger.contradictions]
  const session = await BelievingSession.open(port, account.name, account.password)
  const validity = await selected(session)
  const found = new Map<string, { readonly serial: number; readonly flags: ReadonlySet<string> }>()
  session.onFetch = ({ uid, flags = [], subject }) => {
    found.set(`${validity} ${uid}`, { serial: Number(subject?.replace('kill-', '')), flags: new Set(flags) })
  }
  await session.ask('UID FETCH 1:* (FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])')
  await session.close()
  for (const [key, serial] of ledger.appended) {
    const there = found.get(key)
    if (ledger.removed.has(key)) {
      if (there !== undefined) wrong.push(`UID ${key} is back`)
    } else if (there === undefined) {
      if (!ledger.leaving.has(key)) wrong.push(`UID ${key}, serial ${serial}, is lost`)
    } else if (there.serial !== serial) {
      wrong.push(`UID ${key} was ${serial} and is ${there.serial}`)
    } else {
      const lost = [...(ledger.flagged.get(key) ?? [])].filter((flag) => !there.flags.has(flag))
      if (lost.length > 0) wrong.push(`UID ${key} lost ${lost.join(' ')}`)
    }
  }
  const known = new Set([...ledger.appended.values(), ...ledger.inDoubt])
  for (const [key, { serial }] of found)
    if (!known.has(serial)) wrong.push(`UID ${key} is ${serial}, which nobody sent`)
  return wrong
}

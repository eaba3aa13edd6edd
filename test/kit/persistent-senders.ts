import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { setTimeout as pause } from 'node:timers/promises'
import type { SmtpBackend } from '../../packages/smtp/src/index.ts'
import { Dialogue } from './dialogue.ts'
import { Progress } from './progress.ts'

/** What senders know of their messages. A message is named by its serial number, which stands in its subject. */
export interface DeliveryLedger {
  /** Recipients that the server took responsibility for, by serial. */
  readonly acknowledged: Map<number, Set<string>>
  readonly sent: Set<number>
  /** Attempts that broke, or were put off. */
  broken: number
}

export interface PersistentSenders {
  readonly ledger: DeliveryLedger
  /** Resolves when so many more messages were acknowledged. */
  readonly acknowledgedMore: (count: number) => Promise<void>
  /** Lets every sender end its attempt. */
  readonly stop: () => Promise<void>
}

export interface SenderOptions {
  /** Another machine, as far as the network goes; else this one, and each sender has an address of its own. */
  readonly host?: string
  readonly port: number
  readonly protocol: 'smtp' | 'lmtp'
  readonly recipients: readonly string[]
  readonly senders: number
  /** Between two messages of a sender. */
  readonly pauseMs?: number
}

/** From a header field to the last line: of any length, the same each time, and no half of it looks like a whole. */
export function contentOf(serial: number): string {
  const lines = Array.from({ length: (serial * 31) % 997 }, (_, line) => `${serial}:${line}:${'x'.repeat(60)}`)
  return `Subject: kill-${serial}\r\n\r\n${lines.map((line) => `${line}\r\n`).join('')}end of ${serial}\r\n`
}

/** Tells the serial of a message and whether it is whole. */
export function recognise(message: string): { readonly serial: number; readonly isWhole: boolean } | undefined {
  const serial = Number(/^Subject: kill-(\d+)\r$/m.exec(message)?.[1] ?? Number.NaN)
  return Number.isNaN(serial) ? undefined : { serial, isWhole: message.endsWith(`\r\n${contentOf(serial)}`) }
}

/** The copies of each message in an account of a gateway, and the files that are not whole. */
export function storedCopies(
  gatewayFolder: string,
  account: string,
): { readonly copies: Map<number, number>; readonly halves: string[] } {
  const copies = new Map<number, number>()
  const halves: string[] = []
  for (const file of globSync(join(gatewayFolder, 'data/mail', account, 'Maildir/{new,cur}/*'))) {
    const message = recognise(readFileSync(file, 'latin1'))
    if (message?.isWhole === true) copies.set(message.serial, (copies.get(message.serial) ?? 0) + 1)
    else halves.push(file)
  }
  return { copies, halves }
}

/** A backend that takes what is whole, and counts how often each message came. */
export function wholeMessages(accepted: Map<number, number>): Pick<SmtpBackend, 'data'> {
  return {
    async data(message) {
      const { serial = 0, isWhole = false } = recognise((await buffer(message)).toString('latin1')) ?? {}
      if (!isWhole) return { code: 451, enhanced: '4.3.0', lines: ['Not whole'] }
      accepted.set(serial, (accepted.get(serial) ?? 0) + 1)
      return undefined
    },
  }
}

let serials = 0
/** A new connection may go to another worker, so all of them have work. */
const messagesPerConnection = 4
/** Who is refused comes again, and not in the same breath. */
const retryMs = 20

/**
 * Senders as mail servers are: each tries its message again until every recipient was acknowledged, then sends the next.
 * Odd messages go by DATA and even ones in chunks.
 */
export function startPersistentSenders(options: SenderOptions): PersistentSenders {
  const { recipients, senders } = options
  const ledger: DeliveryLedger = { acknowledged: new Map(), sent: new Set(), broken: 0 }
  const stopping = new AbortController()
  const progress = new Progress(() => ledger.acknowledged.size)
  const sender = async (index: number): Promise<void> => {
    let serial = 0
    let client: Dialogue | undefined
    let delivered = 0
    while (!stopping.signal.aborted) {
      const isDone = recipients.every((recipient) => ledger.acknowledged.get(serial)?.has(recipient) === true)
      if (serial === 0 || isDone) serial = serials += 1
      try {
        client ??= await greeted(options, index)
        for (const recipient of await deliver(client, serial, options, ledger)) {
          const known = ledger.acknowledged.get(serial) ?? new Set()
          ledger.acknowledged.set(serial, known.add(recipient))
        }
        progress.moved()
        if (options.pauseMs !== undefined) await pause(options.pauseMs)
        delivered += 1
        if (delivered % messagesPerConnection !== 0) continue
        client.destroy()
        client = undefined
      } catch {
        ledger.broken += 1
        client?.destroy()
        client = undefined
        await pause(retryMs)
      }
    }
    client?.destroy()
  }
  const running = Array.from({ length: senders }, (_, index) => sender(index))
  return {
    ledger,
    acknowledgedMore: (count) => progress.reaches(ledger.acknowledged.size + count),
    stop: async () => {
      stopping.abort()
      await Promise.all(running)
    },
  }
}

async function greeted({ host, port, protocol }: SenderOptions, index: number): Promise<Dialogue> {
  const way = host === undefined ? { from: `127.0.3.${index + 1}` } : { host }
  const client = await Dialogue.connect(port, { ...way, timeoutMs: 20_000 })
  await client.expect(220)
  client.command(protocol === 'lmtp' ? 'LHLO load.example.net' : 'EHLO load.example.net')
  await client.expect(250)
  return client
}

/** @returns whom the server took responsibility for. Throws when there is no telling. */
async function deliver(
  client: Dialogue,
  serial: number,
  { protocol, recipients }: SenderOptions,
  ledger: DeliveryLedger,
): Promise<readonly string[]> {
  ledger.sent.add(serial)
  const content = contentOf(serial)
  client.send(`MAIL FROM:<load@example.net>\r\n${recipients.map((one) => `RCPT TO:<${one}>\r\n`).join('')}`)
  await client.expect(250)
  for (const _ of recipients) await client.expect(250)
  if (serial % 2 === 0) {
    client.send(`BDAT ${content.length} LAST\r\n${content}`)
  } else {
    client.command('DATA')
    await client.expect(354)
    client.send(`${content}.\r\n`)
  }
  const acknowledged: string[] = []
  for (const recipient of protocol === 'lmtp' ? recipients : recipients.slice(0, 1)) {
    const { code } = await client.reply()
    if (code === 250) acknowledged.push(recipient)
  }
  return protocol === 'lmtp' || acknowledged.length === 0 ? acknowledged : recipients
}

import { Dialogue } from './dialogue.ts'
import { Progress } from './progress.ts'

/** What a sender knows of its messages: which it sent, and which the server took responsibility for. */
export interface Ledger {
  readonly sent: Set<string>
  readonly acknowledged: Set<string>
  /** Connections that broke, or were refused, with the reason. */
  readonly broken: string[]
  connections: number
}

export interface Load {
  readonly ledger: Ledger
  /** Resolves when so many more messages were acknowledged. */
  readonly acknowledgedMore: (count: number) => Promise<void>
  /** Lets every sender finish its message. */
  readonly stop: () => Promise<void>
}

/** Senders that deliver one small message after another, each with a subject of its own. A broken one connects again. */
export function startLoad(port: number, senders: number, recipient: string, messagesPerConnection: number): Load {
  const ledger: Ledger = { sent: new Set(), acknowledged: new Set(), broken: [], connections: 0 }
  const stopping = new AbortController()
  let serial = 0
  const progress = new Progress(() => ledger.acknowledged.size)

  const deliver = async (client: Dialogue): Promise<void> => {
    const subject = `load-${(serial += 1)}`
    ledger.sent.add(subject)
    client.send(`MAIL FROM:<load@example.net>\r\nRCPT TO:<${recipient}>\r\nDATA\r\n`)
    for (const expected of [250, 250, 354]) await client.expect(expected)
    client.send(`Subject: ${subject}\r\n\r\n${'x'.repeat(500)}\r\n.\r\n`)
    await client.expect(250)
    ledger.acknowledged.add(subject)
    progress.moved()
  }
  const session = async (index: number): Promise<void> => {
    ledger.connections += 1
    const client = await Dialogue.connect(port, { from: `127.0.1.${index + 1}` })
    try {
      await client.expect(220)
      client.command('EHLO load.example.net')
      await client.expect(250)
      for (let count = 0; count < messagesPerConnection && !stopping.signal.aborted; count += 1) await deliver(client)
      client.command('QUIT')
      await client.expect(221)
    } finally {
      client.destroy()
    }
  }
  const sender = async (index: number): Promise<void> => {
    while (!stopping.signal.aborted) {
      await session(index).catch((error: unknown) => {
        ledger.broken.push(String(error))
      })
    }
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

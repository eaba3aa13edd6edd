/* What the tests of the relay share: a transaction, and a client that goes through its steps. */
import { endpoint, type ClientNames, type Envelope, type RecipientDsnRequest } from '@postern/core'
import {
  createRelay,
  encodeReply,
  type Backend,
  type Delivery,
  type DeliveryReply,
  type RelayOptions,
  type TransactionStart,
} from '../../src/index.ts'
import type { ScriptedBackend } from './scripted-backend.ts'

export interface Event {
  readonly backend: string
  readonly code?: string
  readonly detail?: string
  readonly replies?: readonly string[]
}

/** No test waits for these; one that hangs ends by them. */
const hurried = {
  connectPatienceMs: 30_000,
  tlsPatienceMs: 30_000,
  greetingPatienceMs: 30_000,
  replyPatienceMs: 30_000,
}

export class Client {
  readonly events: Event[] = []
  readonly delivery: Delivery

  constructor(
    backends: readonly (ScriptedBackend | Backend)[],
    options: Partial<RelayOptions> = {},
    transaction: Parameters<typeof transactionOf>[0] = {},
  ) {
    const relay = createRelay({
      protocol: 'smtp',
      hostname: 'gate.example',
      backends: () => backends.map(addressOf),
      tls: 'off',
      announcement: 'none',
      observer: {
        failed: ({ backend, code, detail }) => this.events.push({ backend, code, detail }),
        delivered: ({ backend, replies }) => this.events.push({ backend, replies }),
      },
      ...options,
      limits: { ...hurried, ...options.limits },
    })
    this.delivery = relay.begin(transactionOf(transaction)) as Delivery
  }

  get codes(): readonly (string | undefined)[] {
    return this.events.map(({ code }) => code)
  }

  async recipient(forwardPath = 'ann@example.org', dsn?: RecipientDsnRequest): Promise<string> {
    return told(await this.delivery.addRecipient(forwardPath, { to: 'upstream', upstream: 'test' }, dsn))
  }

  async message(text = 'Subject: hello\r\n\r\nworld\r\n'): Promise<string> {
    const chunk = Buffer.from(text, 'latin1')
    await this.delivery.write(chunk)
    // A view ends with the call.
    chunk.fill(0x21)
    return told(await this.delivery.commit())
  }

  /** One recipient and a message; what the last step said. */
  async send(): Promise<string> {
    const toRecipient = await this.recipient()
    return toRecipient.startsWith('2') ? this.message() : toRecipient
  }
}

export function told(reply: DeliveryReply): string {
  return encodeReply(reply).trimEnd()
}

export function addressOf(backend: ScriptedBackend | Backend): Backend {
  return 'played' in backend ? { host: '127.0.0.1', port: backend.port } : backend
}

export function transactionOf({
  envelope = {},
  client = '203.0.113.7',
  destination = '192.0.2.1',
  origin = 'direct',
  helo = 'client.example',
  username,
  clientNames,
  takesVerdictForEach = false,
}: {
  readonly envelope?: Partial<Envelope>
  readonly client?: string
  readonly destination?: string
  readonly origin?: 'direct' | 'proxied' | 'proxy-itself'
  readonly helo?: string
  readonly username?: string
  readonly clientNames?: ClientNames
  readonly takesVerdictForEach?: boolean
} = {}): TransactionStart {
  return {
    id: 'test000000000001.1',
    envelope: { reversePath: 'bob@example.com', forwardPaths: [], isSmtpUtf8: false, body: '7BIT', ...envelope },
    connection: {
      id: 'test000000000001',
      listener: { name: 'mx', protocol: 'smtp', tls: 'off' },
      identity: {
        origin,
        client: endpoint(client, 45_678),
        peer: endpoint('10.0.0.1', 50_000),
        destination: endpoint(destination, 25),
        trust: { rule: 'required' },
      },
      security: { kind: 'cleartext' },
      ...(clientNames !== undefined && { clientNames: Promise.resolve(clientNames) }),
    },
    hello: { verb: 'EHLO', domain: helo },
    ...(username === undefined ? {} : { principal: { account: `${username}@example.org`, username } }),
    takesVerdictForEach,
    at: new Date('2026-02-03T04:05:06Z'),
  }
}

import { endpoint, type Envelope, type RecipientDsnRequest } from '../../packages/core/src/index.ts'
import { createRelay, type Backend, type RelayOptions, type TransactionStart } from '../../packages/smtp/src/index.ts'
import { ann } from './gateway.ts'

export interface Sent {
  readonly toRecipient: number
  readonly toMessage: number | undefined
  /** Codes of failures. */
  readonly failures: readonly string[]
}

export interface Sending extends Partial<RelayOptions> {
  /** Who sends it, as the relay announces it. */
  readonly client?: string
  /** Subject and body. */
  readonly text?: string
  readonly to?: string
  readonly envelope?: Partial<Envelope>
  readonly dsn?: RecipientDsnRequest
}

/** Relays one message to one recipient, or as far as it gets. */
export async function send(
  backend: Backend,
  { client = '203.0.113.7', text = 'hello', to = ann.name, envelope = {}, dsn, ...options }: Sending = {},
): Promise<Sent> {
  const failures: string[] = []
  const relay = createRelay({
    ...usual(backend),
    observer: { failed: ({ code }) => failures.push(code) },
    ...options,
  })
  const delivery = await relay.begin(transactionFor(client, envelope))
  const { code: toRecipient } = await delivery.addRecipient(to, inside, dsn)
  let toMessage: number | undefined
  if (toRecipient < 300) {
    await delivery.write(Buffer.from(`Subject: ${text}\r\n\r\n${text}\r\n`))
    toMessage = (await delivery.commit()).code
  }
  if (toMessage === undefined || toMessage >= 300) await delivery.abort()
  return { toRecipient, toMessage, failures }
}

/** Relays one message to several recipients for a client that takes a verdict for each; answers the verdicts. */
export async function sendToEach(
  backend: Backend,
  recipients: readonly string[],
  { client = '203.0.113.7', text = 'hello', envelope = {}, ...options }: Omit<Sending, 'to' | 'dsn'> = {},
): Promise<readonly number[]> {
  const relay = createRelay({ ...usual(backend), ...options })
  const delivery = await relay.begin({ ...transactionFor(client, envelope), takesVerdictForEach: true })
  for (const recipient of recipients) {
    const { code } = await delivery.addRecipient(recipient, inside)
    if (code >= 300) throw new Error(`${recipient} was refused: ${code}`)
  }
  await delivery.write(Buffer.from(`Subject: ${text}\r\n\r\n${text}\r\n`))
  return ((await delivery.commitEach?.()) ?? []).map(({ code }) => code)
}

const inside = { to: 'upstream', upstream: 'inside' } as const

function usual(backend: Backend): RelayOptions {
  return { protocol: 'smtp', hostname: 'gate.example.org', backends: () => [backend], tls: 'off', announcement: 'none' }
}

/** As it should go. */
export const sent: Sent = { toRecipient: 250, toMessage: 250, failures: [] }

function transactionFor(client: string, envelope: Partial<Envelope>): TransactionStart {
  return {
    id: 'test000000000001.1',
    envelope: { reversePath: 'bob@example.com', forwardPaths: [], isSmtpUtf8: false, body: '7BIT', ...envelope },
    connection: {
      id: 'test000000000001',
      listener: { name: 'mx', protocol: 'smtp', tls: 'off' },
      identity: {
        origin: 'proxied',
        client: endpoint(client, 45_678),
        peer: endpoint('10.0.0.1', 50_000),
        destination: endpoint(client.includes(':') ? '2001:db8::1' : '198.51.100.5', 25),
        trust: { rule: 'required' },
      },
      security: { kind: 'cleartext' },
    },
    hello: { verb: 'EHLO', domain: 'client.example.net' },
    takesVerdictForEach: false,
    at: new Date(),
  }
}

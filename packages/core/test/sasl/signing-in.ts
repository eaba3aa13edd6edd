/* What the tests of SASL share: a connection, an authenticator that knows `ann`, and a client that speaks base64. */
import type {
  Authenticator,
  ChannelSecurity,
  CertificateClaim,
  ConnectionInfo,
  Credentials,
  Policy,
  SaslContext,
  SaslEnd,
} from '../../src/index.ts'
import { beginSasl, endpoint } from '../../src/index.ts'

const client = endpoint('203.0.113.7', 45_678)

export const tls = {
  kind: 'tls',
  endedBy: 'gateway',
  version: 'TLSv1.3',
  cipher: 'TLS_AES_128_GCM_SHA256',
} as const

export function connectionOf(security: ChannelSecurity = tls): ConnectionInfo {
  return {
    id: 'test000000000001',
    listener: { name: 'mx', protocol: 'smtp', tls: 'starttls' },
    identity: {
      origin: 'direct',
      client,
      peer: client,
      destination: endpoint('192.0.2.1', 25),
      trust: { rule: 'absent' },
    },
    security,
  }
}

export interface Setup {
  readonly authenticator?: Authenticator
  readonly security?: ChannelSecurity
  readonly policies?: readonly Policy[]
}

export function contextOf({ authenticator = new Passwords(), security = tls, policies = [] }: Setup = {}): SaslContext {
  return { authenticator, connection: connectionOf(security), policies }
}

/** `ann` signs in with `secret`, and so does her certificate. */
export class Passwords implements Authenticator {
  readonly asked: (Credentials | CertificateClaim)[] = []

  async verify(credentials: Credentials): ReturnType<NonNullable<Authenticator['verify']>> {
    this.asked.push(credentials)
    const { username, password, actAs } = credentials
    return username === 'ann' && password.reveal() === 'secret' && actAs === undefined
      ? { outcome: 'granted', principal: { account: 'ann@example.org', username } }
      : { outcome: 'denied' }
  }

  async verifyCertificate(claim: CertificateClaim): ReturnType<NonNullable<Authenticator['verifyCertificate']>> {
    this.asked.push(claim)
    return claim.commonName === 'ann' && claim.actAs === undefined
      ? { outcome: 'granted', principal: { account: 'ann@example.org', username: 'ann' } }
      : { outcome: 'denied' }
  }
}

/** What came of the messages, the first of them as an initial response: challenges in the clear, then the outcome. */
export async function exchange(
  mechanism: string,
  context: SaslContext,
  ...messages: readonly (string | Buffer)[]
): Promise<{ readonly challenges: readonly string[]; readonly end: SaslEnd | undefined }> {
  const begun = beginSasl(mechanism, context)
  if (begun === undefined) throw new Error(`${mechanism} is not offered`)
  const [initial, ...answers] = messages.map((message) => Buffer.from(message).toString('base64'))
  const challenges: string[] = []
  let step = await begun.start(initial === '' ? '=' : initial)
  for (const answer of answers) {
    if (step.next === 'end') throw new Error('the exchange ended before all messages were sent')
    challenges.push(Buffer.from(step.challenge, 'base64').toString())
    step = await begun.answer(answer)
  }
  if (step.next === 'end') return { challenges, end: step.end }
  return { challenges: [...challenges, Buffer.from(step.challenge, 'base64').toString()], end: undefined }
}

export async function endOf(
  mechanism: string,
  context: SaslContext,
  ...messages: readonly (string | Buffer)[]
): Promise<SaslEnd> {
  const { challenges, end } = await exchange(mechanism, context, ...messages)
  if (end === undefined) throw new Error(`the exchange goes on: ${challenges.join(' / ')}`)
  return end
}

/*
 * One order for a certificate (RFC 8555 section 7.1), by acme-client: an account, an order for all names, a challenge for each,
 * the certificate. Whatever the authority sends, and however long it takes, is bounded; what came is looked at before it is used.
 */
import { X509Certificate, createPrivateKey } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import type { AcmeConfig } from '../config/schema.ts'
import { namesOf } from '../accept/tls.ts'
import { limits } from '../limits.ts'
import type { Challenges } from './challenges.ts'
import {
  AcmeError,
  failureFor,
  failureOfError,
  failureOfProblem,
  problemIn,
  type AcmeFailure,
  type AcmeProblem,
} from './failure.ts'
import { placeOf } from './place.ts'

type AcmeClient = typeof import('acme-client')
type Client = InstanceType<AcmeClient['Client']>
type Order = Awaited<ReturnType<Client['createOrder']>>

export type OrderOutcome =
  /** PEM: the chain, and behind it the key. */
  { readonly ok: true; readonly pem: string } | { readonly ok: false; readonly failure: AcmeFailure }

/** What an order works with. */
export interface OrderParts {
  /** PEM. */
  readonly accountKey: string
  readonly challenges: Challenges
  /** Aborted when the gateway ends. */
  readonly signal: AbortSignal
}

/** Rejects never: what goes wrong is an outcome. */
export async function orderCertificate(config: AcmeConfig, parts: OrderParts): Promise<OrderOutcome> {
  const where = placeOf(config)
  const deadline = AbortSignal.timeout(limits.acmeOrderMs)
  const wire = new Wire(AbortSignal.any([deadline, parts.signal]))
  try {
    return { ok: true, pem: await obtain(config, parts, wire) }
  } catch (error) {
    if (parts.signal.aborted) return { ok: false, failure: failureFor('stopped', 'the gateway ends', where) }
    if (deadline.aborted) {
      const cause = `no certificate within ${limits.acmeOrderMs / 60_000} minutes`
      return { ok: false, failure: failureFor('timeout', cause, where) }
    }
    const { problem } = wire
    const failure =
      error instanceof AcmeError || problem === undefined
        ? failureOfError(error, where)
        : failureOfProblem(problem, where)
    return { ok: false, failure }
  }
}

async function obtain(config: AcmeConfig, { accountKey, challenges }: OrderParts, wire: Wire): Promise<string> {
  const acme = await load()
  acme.axios.defaults.adapter = wire.ask
  const { externalAccount } = config
  const client = new acme.Client({
    directoryUrl: config.directory,
    accountKey,
    ...(externalAccount && {
      externalAccountBinding: { kid: externalAccount.keyId, hmacKey: externalAccount.key },
    }),
  })
  await client.createAccount({
    termsOfServiceAgreed: true,
    ...(config.email !== undefined && { contact: [`mailto:${config.email}`] }),
  })
  const order = await client.createOrder({ identifiers: config.names.map((value) => ({ type: 'dns', value })) })
  await prove(client, order, challenges, wire, placeOf(config))
  const key =
    config.keyType === 'rsa' ? await acme.crypto.createPrivateRsaKey() : await acme.crypto.createPrivateEcdsaKey()
  const [, request] = await acme.crypto.createCsr({ altNames: [...config.names] }, key)
  await client.finalizeOrder(order, request)
  const done = await settled(client, order, 'valid', wire)
  if (done.status !== 'valid') throw await refusalOf(client, order, done, placeOf(config))
  const pem = `${(await client.getCertificate(done)).trim()}\n${key.toString().trim()}\n`
  const trouble = troubleOf(pem, config.names)
  if (trouble !== undefined) throw new AcmeError(failureFor('authority', trouble, placeOf(config)))
  return pem
}

/** Shows the text for each name, until the authority has seen it. */
async function prove(client: Client, order: Order, challenges: Challenges, wire: Wire, where: string): Promise<void> {
  const shown: (() => void)[] = []
  try {
    for (const authorization of await client.getAuthorizations(order)) {
      // One from an earlier order may still hold.
      if (authorization.status === 'valid') continue
      const challenge = authorization.challenges.find(({ type }) => type === 'http-01')
      if (challenge === undefined) {
        const cause = `no challenge by HTTP is offered for ${authorization.identifier.value}`
        throw new AcmeError(failureFor('name', cause, where))
      }
      shown.push(challenges.show(challenge.token, await client.getChallengeKeyAuthorization(challenge)))
      await client.completeChallenge(challenge)
    }
    const proven = await settled(client, order, 'ready', wire)
    if (proven.status === 'invalid') throw await refusalOf(client, order, proven, where)
  } finally {
    for (const hide of shown) hide()
  }
}

/** The order when it is so far, or as it ended (RFC 8555 section 7.1.6). */
async function settled(client: Client, order: Order, until: 'ready' | 'valid', wire: Wire): Promise<Order> {
  const isUnderWay = until === 'ready' ? ['pending'] : ['pending', 'ready', 'processing']
  for (let pauseMs: number = limits.firstAcmePollMs; ; pauseMs = Math.min(2 * pauseMs, limits.maxAcmePollMs)) {
    const now = await client.getOrder(order)
    if (!isUnderWay.includes(now.status)) return now
    await delay(pauseMs, undefined, { signal: wire.signal })
  }
}

/** Which name could not be proven, and why: the order itself does not say. */
async function refusalOf(client: Client, asked: Order, order: Order, where: string): Promise<AcmeError> {
  for (const { identifier, challenges } of await client.getAuthorizations(asked)) {
    for (const { error } of challenges) {
      const problem = problemIn(error)
      if (problem === undefined) continue
      const failure = failureOfProblem(problem, where)
      return new AcmeError({ ...failure, cause: `${identifier.value}: ${failure.cause}` })
    }
  }
  const problem = problemIn(order.error)
  return new AcmeError(
    problem === undefined
      ? failureFor('authority', `the order is ${order.status}, and nothing says why`, where)
      : failureOfProblem(problem, where),
  )
}

/** A certificate that does not fit would stop TLS for all. */
function troubleOf(pem: string, names: readonly string[]): string | undefined {
  try {
    const certificate = new X509Certificate(pem)
    if (!certificate.checkPrivateKey(createPrivateKey(pem))) return 'the certificate that came is for another key'
    const lacking = names.filter((name) => !namesOf(certificate).includes(name))
    if (lacking.length > 0) return `the certificate that came is not for ${lacking.join(', ')}`
    return certificate.validToDate.getTime() > Date.now() ? undefined : 'the certificate that came has ended already'
  } catch {
    return 'what came is no certificate'
  }
}

/** Loaded when it is wanted: an optional package, and most gateways have their certificates from elsewhere. */
async function load(): Promise<AcmeClient> {
  try {
    const { default: acme } = (await import('acme-client')) as unknown as { readonly default: AcmeClient }
    // It would sleep for as long as an authority says, and ask again by itself: `keeper.ts` decides when.
    Object.assign(acme.axios.defaults, { acmeSettings: { retryMaxAttempts: 0 } })
    return acme
  } catch (error) {
    throw new AcmeError(
      {
        reason: 'system',
        cause: 'the optional package acme-client is not installed',
        mend: 'install it beside the gateway: npm install acme-client',
      },
      { cause: error },
    )
  }
}

/** The client's HTTP is axios, of which only this way in is used. */
type Ask = Extract<NonNullable<AcmeClient['axios']['defaults']['adapter']>, (...request: never[]) => unknown>

/**
 * How the client's questions go out, in place of its own HTTP: each has a time, an answer has a longest length, and the last
 * problem that the authority told of is kept, of which the client itself hands on only the words.
 */
class Wire {
  readonly signal: AbortSignal
  problem: AcmeProblem | undefined

  constructor(signal: AbortSignal) {
    this.signal = signal
  }

  readonly ask: Ask = async (request) => {
    const { url = '', method = 'get', headers, data } = request
    this.problem = undefined
    const response = await fetch(url, {
      method: method.toUpperCase(),
      headers: Object.entries(headers.toJSON()).map(([name, value]): [string, string] => [name, String(value)]),
      redirect: 'error',
      signal: AbortSignal.any([this.signal, AbortSignal.timeout(limits.acmeRequestMs)]),
      ...(typeof data === 'string' && { body: data }),
    })
    const text = await textWithin(response, limits.maxAcmeAnswerBytes)
    const isJson = /\bjson\b/.test(response.headers.get('content-type') ?? '')
    const body: unknown = isJson ? JSON.parse(text) : text
    this.problem = response.ok ? undefined : problemIn(body, retryAfterMs(response.headers.get('retry-after')))
    return {
      status: response.status,
      statusText: response.statusText,
      headers: Object.fromEntries(response.headers),
      data: body,
      config: request,
    }
  }
}

async function textWithin(response: Response, maxBytes: number): Promise<string> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of response.body ?? []) {
    bytes += chunk.length
    if (bytes > maxBytes) throw new Error(`an answer of more than ${maxBytes} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString()
}

/** RFC 9110 section 10.2.3: seconds, or a date. */
function retryAfterMs(written: string | null): number | undefined {
  if (written === null) return undefined
  const ms = /^\d{1,9}$/.test(written) ? Number(written) * 1000 : Date.parse(written) - Date.now()
  return ms > 0 ? Math.min(ms, limits.maxAcmeRetryAfterMs) : undefined
}

import { createHash, type Hash } from 'node:crypto'
import {
  createRelay,
  type Backend,
  type Delivery,
  type DeliveryReply,
  type Destination,
  type RelayOptions,
  type TransactionStart,
  type UpstreamCredentials,
} from '@postern/smtp'
import { serverAddress } from '../config/backend-address.ts'
import type { UpstreamLog } from '../observe/upstream-log.ts'
import { relayOptionsOf } from '../upstream/look.ts'
import { passedTlvs } from '../upstream/passed-tlvs.ts'
import type { Upstream } from '../upstream/upstream.ts'

export interface RelayDestinationOptions {
  readonly upstream: Upstream
  /** One address, instead of its backends. */
  readonly server?: string | undefined
  /** Said in EHLO. */
  readonly hostname: string
  /** What the user of a transaction signed in with, where the backend is the one that judges it. */
  readonly credentialsOf?: (transaction: TransactionStart) => UpstreamCredentials | undefined
  readonly log: UpstreamLog
}

/** Hands each step of a transaction to a backend of an upstream, and tells the upstream what became of it. */
export function relayDestination({
  upstream,
  server,
  hostname,
  log,
  credentialsOf,
}: RelayDestinationOptions): Destination {
  /** By transaction: the backend that may have a message which nobody heard of. */
  const inDoubt = new Map<string, string>()
  const relay = createRelay({
    ...relayOptionsFor({
      upstream,
      server,
      hostname,
      log,
      userOf,
      onInDoubt: (id, backend) => inDoubt.set(id, backend),
    }),
    ...(credentialsOf === undefined ? {} : { credentials: credentialsOf }),
  })
  return {
    begin: async (transaction) => {
      const delivery = await relay.begin(transaction)
      return new RelayedDelivery(delivery, (sha256, bytes) => {
        const backend = inDoubt.get(transaction.id)
        inDoubt.delete(transaction.id)
        if (backend !== undefined) log.inDoubt(upstream.name, backend, transaction, sha256(), bytes)
      })
    },
  }
}

/** How a relay speaks to an upstream, and tells it what its backends did. */
export function relayOptionsFor(options: {
  readonly upstream: Upstream
  readonly server: string | undefined
  readonly hostname: string
  readonly log: UpstreamLog
  /** Whose backend it is: `hash-user` goes by it. */
  readonly userOf: (transaction: TransactionStart, forwardPath: string) => string
  readonly onInDoubt?: (transactionId: string, backend: string) => void
}): RelayOptions {
  const { upstream, server, hostname, log, onInDoubt } = options
  const { config, group } = upstream
  return {
    ...relayOptionsOf(config, hostname),
    *backends(transaction, forwardPath): Iterable<Backend> {
      if (server !== undefined) {
        yield serverAddress(server, config)
        return
      }
      for (const { address } of upstream.candidatesFor(options.userOf(transaction, forwardPath))) yield address
    },
    whyNone: () => group.trouble,
    proxyTlvs: ({ connection }) => passedTlvs(connection, config.passedTlvs),
    authRequiresTls: !config.sendsCredentialsInClear,
    ...(config.signInMechanisms === undefined ? {} : { mechanisms: config.signInMechanisms }),
    ...(upstream.idle === undefined ? {} : { idle: upstream.idle }),
    observer: {
      connecting: ({ backend }) => group.connecting(backend),
      gone: ({ backend }) => group.gone(backend),
      reused: () => group.reused(),
      opened: ({ backend, capabilities }) => {
        // What is offered to a client that was announced may be meant for that one: what looks find holds for all.
        const isForAll = !judgesClient(config.announce) || !config.health.isChecked
        group.succeeded(backend, isForAll ? [...capabilities].map((words) => words.flat().join(' ')) : undefined)
      },
      failed: (event) => {
        log.relayFailed(upstream.name, event)
        // What happens behind the opening may be the work of one message or one client, and says little of the backend.
        if (event.step === 'opening' && saysSomethingOfBackend(event.code, config.announce)) {
          group.failed(event.backend, `${event.code}: ${event.detail}`)
        }
        if (event.code === 'SMTP_UPSTREAM_IN_DOUBT') onInDoubt?.(event.transactionId, event.backend)
      },
    },
  }
}

/** The user, or else whose mail it is. */
function userOf({ principal }: TransactionStart, forwardPath: string): string {
  return principal?.username ?? forwardPath
}

/**
 * A backend that judges the client we announce may greet that one with 554 or 421: its word on a client is none on
 * itself. Only what no client can cause takes a backend away from all others.
 */
function saysSomethingOfBackend(code: string, announce: Upstream['config']['announce']): boolean {
  if (code === 'SMTP_UPSTREAM_AUTHENTICATION') return false
  return !mayBeAboutClient.has(code) || !judgesClient(announce)
}

const mayBeAboutClient: ReadonlySet<string> = new Set([
  'SMTP_UPSTREAM_UNAVAILABLE',
  'SMTP_UPSTREAM_REFUSES_US',
  'SMTP_UPSTREAM_LOST',
])

function judgesClient(announce: Upstream['config']['announce']): boolean {
  return announce === 'proxy-v1' || announce === 'proxy-v2' || announce === 'xclient'
}

/**
 * Keeps a hash of what was handed over, so that a message in doubt can be looked for at the backend, and told from the
 * one that its client sends again.
 */
class RelayedDelivery implements Delivery {
  readonly #delivery: Delivery
  readonly #hash: Hash = createHash('sha256')
  readonly #onEnd: (sha256: () => string, bytes: number) => void
  #bytes = 0

  constructor(delivery: Delivery, onEnd: (sha256: () => string, bytes: number) => void) {
    this.#delivery = delivery
    this.#onEnd = onEnd
  }

  addRecipient(...recipient: Parameters<Delivery['addRecipient']>): ReturnType<Delivery['addRecipient']> {
    return this.#delivery.addRecipient(...recipient)
  }

  write(chunk: Buffer): ReturnType<Delivery['write']> {
    this.#hash.update(chunk)
    this.#bytes += chunk.length
    return this.#delivery.write(chunk)
  }

  async commit(): Promise<DeliveryReply> {
    const reply = await this.#delivery.commit()
    this.#onEnd(() => this.#hash.digest('hex'), this.#bytes)
    return reply
  }

  async commitEach(): Promise<readonly DeliveryReply[]> {
    const replies = (await this.#delivery.commitEach?.()) ?? []
    this.#onEnd(() => this.#hash.digest('hex'), this.#bytes)
    return replies
  }

  trouble(): DeliveryReply | undefined {
    return this.#delivery.trouble?.()
  }

  abort(): ReturnType<Delivery['abort']> {
    return this.#delivery.abort()
  }
}

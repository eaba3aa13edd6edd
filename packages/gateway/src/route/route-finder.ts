/* Where mail or a login goes: by the routes of the configuration, and the directories that some of them ask. */
import type { Awaitable, Decision } from '@postern/core'
import type { LookupConfig, RouteTarget, UpstreamConfig } from '../config/schema.ts'
import type { GivenCredentials, Lookup, LookupAnswer, LookupQuestion } from '../lookup/lookup.ts'
import type { RouteQuestion, RouteTable } from './route-table.ts'

export type FoundRoute =
  | { readonly kind: 'store' }
  | { readonly kind: 'refuse'; readonly decision: Decision }
  /** `server`: one address, which is reached with the settings of the upstream. */
  | {
      readonly kind: 'upstream'
      readonly upstream: string
      readonly server?: string
      readonly credentials?: GivenCredentials
    }

/** What is told to directories beside what routes look at. */
export interface MailFacts {
  readonly helo?: string | undefined
  readonly reversePath?: string | undefined
}

/** A directory that routes may ask. */
export interface Directory {
  readonly lookup: Lookup
  readonly whenDown: LookupConfig['whenDown']
}

export interface RouteFinderOptions {
  readonly table: RouteTable
  readonly directories: ReadonlyMap<string, Directory>
  readonly upstreams: readonly Pick<UpstreamConfig, 'name' | 'protocol'>[]
  readonly log: { lookupFailed(lookup: string, detail: string): void }
}

export class RouteFinder {
  readonly #options: RouteFinderOptions
  readonly #mail: ReadonlySet<string>
  readonly #logins: ReadonlySet<string>

  constructor(options: RouteFinderOptions) {
    this.#options = options
    const named = (isImap: boolean): ReadonlySet<string> =>
      new Set(options.upstreams.filter(({ protocol }) => (protocol === 'imap') === isImap).map(({ name }) => name))
    this.#mail = named(false)
    this.#logins = named(true)
  }

  /** @returns `undefined` when no route says anything. */
  forMail(
    question: RouteQuestion & { readonly recipient: string } & MailFacts,
    mayRelay: boolean,
  ): Awaitable<FoundRoute | undefined> {
    return this.#first(this.#options.table.mail(question, mayRelay), question, 'mail')
  }

  /** Where mail of a user goes whom no recipient is known of yet. */
  forSubmission(question: RouteQuestion & { readonly username: string }): Awaitable<FoundRoute | undefined> {
    return this.#first(this.#options.table.submissions(question), question, 'mail')
  }

  forLogin(question: RouteQuestion & { readonly username: string }): Awaitable<FoundRoute | undefined> {
    return this.#first(this.#options.table.logins(question), question, 'login')
  }

  /**
   * A backend refused somebody for good who was sent to it by an answer that may be old: what directories said is
   * forgotten.
   *
   * @returns whether anything was: then to look for a route again may lead elsewhere.
   */
  forgetMail(question: RouteQuestion & { readonly recipient: string }, mayRelay: boolean): boolean {
    return this.#forget(this.#options.table.mail(question, mayRelay), question, 'mail')
  }

  forgetSubmission(question: RouteQuestion & { readonly username: string }): boolean {
    return this.#forget(this.#options.table.submissions(question), question, 'mail')
  }

  forgetLogin(question: RouteQuestion & { readonly username: string }): boolean {
    return this.#forget(this.#options.table.logins(question), question, 'login')
  }

  #forget(targets: Iterable<RouteTarget>, question: RouteQuestion, kind: LookupQuestion['kind']): boolean {
    let hasForgotten = false
    for (const target of targets) {
      // Routes behind a settled one are never reached.
      if (target.kind !== 'lookup') break
      const { lookup } = this.#options.directories.get(target.lookup) ?? {}
      if (lookup?.forget?.(questionOf(question, kind)) === true) hasForgotten = true
    }
    return hasForgotten
  }

  /** Only who must be asked is waited for. */
  #first(
    targets: Iterable<RouteTarget>,
    question: RouteQuestion & MailFacts,
    kind: LookupQuestion['kind'],
  ): Awaitable<FoundRoute | undefined> {
    const rest = targets[Symbol.iterator]()
    for (let next = rest.next(); next.done !== true; next = rest.next()) {
      if (next.value.kind === 'lookup') return this.#askOn(next.value, rest, question, kind)
      return settled(next.value)
    }
    return undefined
  }

  async #askOn(
    first: LookupTarget,
    rest: Iterator<RouteTarget>,
    question: RouteQuestion & MailFacts,
    kind: LookupQuestion['kind'],
  ): Promise<FoundRoute | undefined> {
    let target: RouteTarget | undefined = first
    while (target !== undefined) {
      if (target.kind !== 'lookup') return settled(target)
      const found = await this.#ask(target, question, kind)
      if (found !== undefined) return found
      const next = rest.next()
      target = next.done === true ? undefined : next.value
    }
    return undefined
  }

  async #ask(
    target: LookupTarget,
    question: RouteQuestion & MailFacts,
    kind: LookupQuestion['kind'],
  ): Promise<FoundRoute | undefined> {
    const { directories, log } = this.#options
    const directory = directories.get(target.lookup)
    try {
      if (directory === undefined) throw new Error('it could not be opened')
      return this.#read(await directory.lookup.ask(questionOf(question, kind)), target, kind)
    } catch (error) {
      const detail = error instanceof Error ? error.message : String(error)
      log.lookupFailed(target.lookup, detail)
      if (directory?.whenDown === 'next') return undefined
      // Not to know where mail goes is no reason to say that it goes nowhere.
      const decision: Decision = {
        verdict: 'defer',
        reason: 'unavailable',
        detail: `lookup ${target.lookup}: ${detail}`,
      }
      return { kind: 'refuse', decision }
    }
  }

  #read(answer: LookupAnswer, target: LookupTarget, kind: LookupQuestion['kind']): FoundRoute | undefined {
    switch (answer.found) {
      case 'nothing':
        return undefined
      case 'store':
        return { kind: 'store' }
      case 'refusal': {
        const { isTemporary, text } = answer
        const verdict = isTemporary ? 'defer' : 'refuse'
        const detail = `lookup ${target.lookup} refuses`
        // Words of its own are the operator's; an empty text is none.
        const reply = text === undefined || text === '' ? {} : { reply: { text } }
        return {
          kind: 'refuse',
          decision: { verdict, reason: isTemporary ? 'unavailable' : 'no-relay', detail, ...reply },
        }
      }
      case 'upstream': {
        const upstream = answer.upstream ?? target.upstream
        if (upstream === undefined) throw new Error('it names no upstream, and neither does the route')
        const known = kind === 'mail' ? this.#mail : this.#logins
        if (!known.has(upstream))
          throw new Error(`it names an upstream that takes no ${kind === 'mail' ? 'mail' : 'login'}`)
        const { server, credentials } = answer
        return {
          kind: 'upstream',
          upstream,
          ...(server === undefined ? {} : { server }),
          ...(credentials === undefined ? {} : { credentials }),
        }
      }
      default:
        return answer satisfies never
    }
  }
}

type LookupTarget = Extract<RouteTarget, { readonly kind: 'lookup' }>

function settled(target: Exclude<RouteTarget, LookupTarget>): FoundRoute {
  return target.kind === 'refuse' ? { kind: 'refuse', decision: refused } : target
}

const refused: Decision = { verdict: 'refuse', reason: 'no-relay', detail: 'a route refuses this' }

function questionOf(
  { connection, username, recipient, helo, reversePath }: RouteQuestion & MailFacts,
  kind: LookupQuestion['kind'],
): LookupQuestion {
  const { id, listener, identity, security } = connection
  const { client, claims } = identity
  const serverName = security.kind === 'tls' ? security.serverName : undefined
  return {
    kind,
    protocol: listener.protocol,
    listener: listener.name,
    connectionId: id,
    client: { address: client.address.toString(), port: client.port },
    ...(helo === undefined ? {} : { helo }),
    ...(username === undefined ? {} : { username }),
    ...(reversePath === undefined ? {} : { reversePath }),
    ...(recipient === undefined ? {} : { recipient }),
    ...(serverName === undefined ? {} : { serverName }),
    ...(claims?.authority === undefined ? {} : { authority: claims.authority }),
  }
}

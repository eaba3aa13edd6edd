/*
 * The routes of the configuration: the first that matches decides. Looked up by recipient and by user, so that thousands
 * of them cost a RCPT no more than the labels of its domain.
 */
import type { CidrSet, ConnectionInfo, ListenerInfo } from '@postern/core'
import type { LiveConfig, RouteConfig, RouteTarget, UpstreamConfig } from '../config/schema.ts'
import { networks } from '../policy/networks.ts'
import { foldAddress, patternsOf } from './patterns.ts'

/** What a route may be chosen by. */
export interface RouteQuestion {
  readonly connection: ConnectionInfo
  /** Who signed in, or wants to. */
  readonly username?: string | undefined
  /** Of mail. */
  readonly recipient?: string
}

/** `mail`: for a recipient, by SMTP or LMTP. `logins`: for somebody who signs in, by IMAP. */
type Kind = 'mail' | 'logins'

export class RouteTable {
  readonly #routes: readonly CompiledRoute[]
  readonly #upstreams: Readonly<Record<Kind, ReadonlySet<string>>>
  readonly #mail: RouteIndex
  readonly #logins: RouteIndex

  constructor(routes: readonly RouteConfig[], upstreams: readonly Pick<UpstreamConfig, 'name' | 'protocol'>[]) {
    const imap = new Set(upstreams.filter(({ protocol }) => protocol === 'imap').map(({ name }) => name))
    const answers = ({ to }: RouteConfig, kind: Kind): boolean => {
      const upstream = upstreamOf(to)
      return upstream === undefined || imap.has(upstream) === (kind === 'logins')
    }
    this.#upstreams = {
      mail: new Set(upstreams.map(({ name }) => name).filter((name) => !imap.has(name))),
      logins: imap,
    }
    this.#routes = routes.map((route) => new CompiledRoute(route))
    this.#mail = new RouteIndex(routes, (route) => answers(route, 'mail'))
    // A login has no recipient.
    this.#logins = new RouteIndex(routes, (route) => answers(route, 'logins') && route.recipients === undefined)
  }

  /**
   * Where mail for a recipient may go, the first route first.
   *
   * @param mayRelay - whether mail to anybody is taken: without that right only routes count that name the recipient,
   *   themselves or by a directory that does.
   */
  mail(question: RouteQuestion & { readonly recipient: string }, mayRelay: boolean): Iterable<RouteTarget> {
    return this.#matching(
      this.#mail,
      question,
      ({ to, recipients }) => mayRelay || recipients !== undefined || !leadsOut(to),
    )
  }

  /** Where mail of a user goes whom no recipient is known of yet: who may say whether it is that user. */
  submissions(question: RouteQuestion & { readonly username: string }): Iterable<RouteTarget> {
    return this.#matching(
      this.#mail,
      question,
      ({ to, recipients }) => recipients === undefined && (to.kind === 'upstream' || to.kind === 'lookup'),
    )
  }

  logins(question: RouteQuestion & { readonly username: string }): Iterable<RouteTarget> {
    return this.#matching(this.#logins, question, () => true)
  }

  /**
   * The upstreams without which nothing that comes in on a listener could go anywhere; nothing where it depends on none: no
   * route leads to one, or some of it may stay here. That is mail for a domain of ours which no route takes whole, and who
   * signs in by IMAP for whom none stands, where somebody has an account.
   */
  dependsOn(
    { name, protocol }: Pick<ListenerInfo, 'name' | 'protocol'>,
    { accounts, smtp, listeners }: Pick<LiveConfig, 'accounts' | 'smtp' | 'listeners'>,
  ): ReadonlySet<string> | undefined {
    const kind = protocol === 'imap' ? 'logins' : 'mail'
    const { upstreams, reachesStore } = this.reachableFrom(name, kind)
    if (upstreams.size === 0 || reachesStore) return undefined
    // Where backends are the judges nobody comes in without them.
    const isJudgedHere = listeners.find((listener) => listener.name === name)?.signIn !== 'upstream'
    if (accounts.hasAny !== true || !isJudgedHere) return upstreams
    const isAllTaken =
      kind === 'logins'
        ? this.#takesWhole(name, 'logins', undefined)
        : smtp.localDomains.every((domain) => this.#takesWhole(name, 'mail', domain))
    return isAllTaken ? upstreams : undefined
  }

  /** The upstreams that may be asked whether a user of a listener is right, as `submissions` finds them. */
  askedAboutUsers(listener: string): ReadonlySet<string> {
    const targets = this.#mail.all
      .map((place) => this.#routes[place]!.route)
      .filter(({ listeners, recipients }) => recipients === undefined && (listeners?.includes(listener) ?? true))
      .map(({ to }) => to)
    // A directory may name any of them.
    if (targets.some((to) => to.kind === 'lookup')) return this.#upstreams.mail
    return new Set(targets.map(upstreamOf).filter((name) => name !== undefined))
  }

  /** One route at least has no condition but, of mail, on the recipient's domain. */
  #takesWhole(listener: string, kind: Kind, domain: string | undefined): boolean {
    const patterns = domain === undefined ? undefined : [...patternsOf(`@${domain}`)]
    return (kind === 'mail' ? this.#mail : this.#logins).all.some((place) => {
      const { to, listeners, recipients, ...more } = this.#routes[place]!.route
      const isWhole = patterns === undefined || recipients?.some((each) => patterns.includes(each)) === true
      return (
        to.kind === 'upstream' && isWhole && (listeners?.includes(listener) ?? true) && Object.keys(more).length === 0
      )
    })
  }

  /** The upstreams to which the routes of a listener lead, and whether some lead into the store. */
  reachableFrom(
    listener: string,
    kind: Kind,
  ): { readonly upstreams: ReadonlySet<string>; readonly reachesStore: boolean } {
    const index = kind === 'mail' ? this.#mail : this.#logins
    const targets = index.all
      .map((place) => this.#routes[place]!.route)
      .filter(({ listeners }) => listeners === undefined || listeners.includes(listener))
      .map(({ to }) => to)
    // A directory may name any of them.
    if (targets.some((to) => to.kind === 'lookup')) {
      return { upstreams: this.#upstreams[kind], reachesStore: targets.some(({ kind: way }) => way === 'store') }
    }
    return {
      upstreams: new Set(targets.map(upstreamOf).filter((name) => name !== undefined)),
      reachesStore: targets.some(({ kind: way }) => way === 'store'),
    }
  }

  *#matching(
    index: RouteIndex,
    question: RouteQuestion,
    accepts: (route: RouteConfig) => boolean,
  ): Iterable<RouteTarget> {
    const recipient = question.recipient === undefined ? undefined : foldAddress(question.recipient)
    const username = question.username === undefined ? undefined : foldAddress(question.username)
    for (const place of index.candidates(recipient, username)) {
      const compiled = this.#routes[place]!
      if (compiled.matches(question, username) && accepts(compiled.route)) yield compiled.route.to
    }
  }
}

/** To somewhere whose mail is not known to be ours: an upstream, unless a directory that knows our recipients says so. */
export function leadsOut(to: RouteTarget): boolean {
  return to.kind === 'upstream' || (to.kind === 'lookup' && !to.namesRecipients)
}

/** The upstream that a route names, itself or for the answers of its directory. */
export function upstreamOf(to: RouteTarget): string | undefined {
  return to.kind === 'upstream' || to.kind === 'lookup' ? to.upstream : undefined
}

/** Routes by what they name: recipients first, else users, else nothing. */
class RouteIndex {
  /** Places in the file, ascending. */
  readonly all: readonly number[]
  readonly #byRecipient = new Map<string, number[]>()
  readonly #byUser = new Map<string, number[]>()
  readonly #others: number[] = []

  constructor(routes: readonly RouteConfig[], belongs: (route: RouteConfig) => boolean) {
    this.all = [...routes.keys()].filter((place) => belongs(routes[place]!))
    for (const place of this.all) {
      const { recipients, users } = routes[place]!
      if (recipients !== undefined) addAll(this.#byRecipient, recipients, place)
      else if (users !== undefined) addAll(this.#byUser, users, place)
      else this.#others.push(place)
    }
  }

  candidates(recipient: string | undefined, username: string | undefined): readonly number[] {
    const found = new Set(this.#others)
    for (const pattern of recipient === undefined ? [] : patternsOf(recipient)) {
      for (const place of this.#byRecipient.get(pattern) ?? []) found.add(place)
    }
    for (const pattern of username === undefined ? [] : patternsOf(username)) {
      for (const place of this.#byUser.get(pattern) ?? []) found.add(place)
    }
    return [...found].sort((a, b) => a - b)
  }
}

function addAll(index: Map<string, number[]>, patterns: readonly string[], place: number): void {
  for (const pattern of patterns) {
    const places = index.get(pattern)
    if (places === undefined) index.set(pattern, [place])
    else places.push(place)
  }
}

class CompiledRoute {
  readonly route: RouteConfig
  readonly #users: ReadonlySet<string> | undefined
  readonly #clients: CidrSet | undefined

  constructor(route: RouteConfig) {
    this.route = route
    this.#users = route.users === undefined ? undefined : new Set(route.users)
    this.#clients = route.clients === undefined ? undefined : networks(route.clients)
  }

  /** All conditions but that on the recipient, by which the route was found. */
  matches({ connection }: RouteQuestion, username: string | undefined): boolean {
    const { listeners, serverNames, authorities } = this.route
    const { identity, security, listener } = connection
    return (
      (listeners === undefined || listeners.includes(listener.name)) &&
      (this.#users === undefined || (username !== undefined && isAmong(this.#users, username))) &&
      (serverNames === undefined || isNamed(serverNames, security.kind === 'tls' ? security.serverName : undefined)) &&
      (authorities === undefined || isNamed(authorities, identity.claims?.authority)) &&
      (this.#clients === undefined || this.#clients.has(identity.client.address))
    )
  }
}

function isAmong(patterns: ReadonlySet<string>, name: string): boolean {
  for (const pattern of patternsOf(name)) if (patterns.has(pattern)) return true
  return false
}

function isNamed(patterns: readonly string[], name: string | undefined): boolean {
  if (name === undefined) return false
  // RFC 6066 section 3: without case; the dot of the root says nothing.
  const folded = name.toLowerCase().replace(/\.$/, '')
  return patterns.some((pattern) => (pattern.startsWith('.') ? folded.endsWith(pattern) : folded === pattern))
}

import type { ListenerInfo, Policy } from '@postern/core'
import type { MaildirStore } from '@postern/maildir'
import type { DeliverableRoute, Destination, DestinationExtensions } from '@postern/smtp'
import { imapDialect, smtpDialect, type Dialect } from '../accept/dialects.ts'
import type { FileAuthenticator } from '../auth/file-authenticator.ts'
import { UpstreamAuthenticator } from '../auth/upstream-authenticator.ts'
import type { ListenerLiveConfig, LiveConfig } from '../config/schema.ts'
import type { FileJournal } from '../destination/delivered-journal.ts'
import { relayDestination } from '../destination/relay.ts'
import { storeDestination, storeExtensions } from '../destination/store.ts'
import type { Inspector } from '../inspect/inspector.ts'
import type { UpstreamLog } from '../observe/upstream-log.ts'
import { announcers, announcersById } from '../policy/announcers.ts'
import type { LoginGuard } from '../policy/login-guard.ts'
import { networks } from '../policy/networks.ts'
import { ownSender } from '../policy/own-sender.ts'
import { accountFor, type LocalRecipient } from '../route/local-accounts.ts'
import type { LocalMailbox } from '../route/local-mailbox.ts'
import type { RouteFinder } from '../route/route-finder.ts'
import { createRouter } from '../route/router.ts'
import { tableRouter } from '../route/table-router.ts'
import { imapLogins } from '../upstream/login-backends.ts'
import type { Upstreams } from '../upstream/upstreams.ts'

/** What all listeners of a worker share. */
export interface SharedParts {
  readonly live: LiveConfig
  readonly policies: readonly Policy[]
  readonly store: MaildirStore
  readonly authenticator: FileAuthenticator
  readonly logins: LoginGuard
  readonly finder: RouteFinder
  readonly upstreams: Upstreams
  readonly upstreamLog: UpstreamLog
  /** Where messages are looked at as a whole. */
  readonly inspector: Inspector | undefined
  /** Where a message may go to several backends. */
  readonly journal: FileJournal | undefined
}

/** The sessions of one listener: who signs in, and where its mail and its users go. */
export function dialectOf(listener: ListenerInfo, settings: ListenerLiveConfig, parts: SharedParts): Dialect {
  const { protocol } = listener
  return protocol === 'imap' ? imapOf(listener, settings, parts) : smtpOf({ ...listener, protocol }, settings, parts)
}

type MailListener = ListenerInfo & { readonly protocol: Exclude<ListenerInfo['protocol'], 'imap'> }

function imapOf(listener: ListenerInfo, { signIn }: ListenerLiveConfig, parts: SharedParts): Dialect {
  const { live, policies, store, authenticator, logins: guard, finder, upstreams } = parts
  const logins = imapLogins({
    listener,
    judge: signIn === 'upstream' ? 'backend' : 'authenticator',
    upstreams,
    finder,
    withholds: (login) => guard.withholds(login),
  })
  return imapDialect({
    hostname: live.hostname,
    offersStartTls: listener.tls === 'starttls',
    policies,
    authenticator: guard.guarded(authenticator),
    store,
    mayAnnounce: announcersById(live.imap),
    mayUnauthenticate: live.imap.mayUnauthenticate,
    ...(logins === undefined ? {} : { logins }),
    now,
    maxAppendBytes: live.smtp.maxMessageBytes,
  })
}

function smtpOf(listener: MailListener, settings: ListenerLiveConfig, parts: SharedParts): Dialect {
  const { protocol } = listener
  const { live, policies, authenticator, logins: guard, finder, upstreams, upstreamLog, journal } = parts
  const { hostname, smtp } = live
  const backendJudges =
    settings.signIn === 'upstream'
      ? new UpstreamAuthenticator({ upstreams, listener: listener.name, finder, hostname, log: upstreamLog })
      : undefined
  const accountOf = (mailbox: LocalMailbox): Promise<LocalRecipient | undefined> =>
    accountFor(authenticator, mailbox, smtp.subaddressSeparator)
  const checksSender = backendJudges === undefined && protocol === 'submission' && smtp.submissionSender === 'own'
  const options: Parameters<typeof smtpDialect>[0] = {
    hostname,
    mode: protocol === 'smtp' ? 'mx' : protocol,
    offersStartTls: listener.tls === 'starttls',
    requiresTls: settings.requiresTls,
    authenticator: guard.guarded(backendJudges ?? authenticator),
    policies: checksSender ? [...policies, ownSender(accountOf)] : policies,
    router: createRouter({
      finder,
      local: tableRouter({ localDomains: smtp.localDomains, accountFor: accountOf }),
      relayNetworks: networks(smtp.relayNetworks),
    }),
    destinationFor: destinationsOf(listener, backendJudges, parts),
    destinationExtensions: extensionsOf(listener, parts),
    mayAnnounce: announcers(smtp),
    now,
    bareNewline: smtp.bareNewline,
    nul: smtp.nul,
    limits: {
      maxMessageBytes: smtp.maxMessageBytes,
      maxRecipients: smtp.maxRecipients,
      errorDelayMs: smtp.errorDelayMs,
      ...smtp.bounds,
    },
    ...(journal && { journal }),
    // Users wait for a program of theirs, and front ends for us: to make them wait tells nothing.
    ...(protocol === 'smtp' && smtp.greetingDelay !== undefined && { greetingDelay: smtp.greetingDelay }),
  }
  return smtpDialect(options, smtp.maxSessionMs)
}

function destinationsOf(
  listener: ListenerInfo,
  backendJudges: UpstreamAuthenticator | undefined,
  { live, store, upstreams, upstreamLog, inspector }: SharedParts,
): (route: DeliverableRoute) => Destination {
  const inspected = (destination: Destination): Destination => inspector?.for(listener.name, destination) ?? destination
  const stored = inspected(storeDestination(store))
  const relayTo = ({ upstream, server }: Extract<DeliverableRoute, { readonly to: 'upstream' }>): Destination =>
    inspected(
      relayDestination({
        upstream: upstreams.find(upstream),
        server,
        hostname: live.hostname,
        log: upstreamLog,
        ...(backendJudges && {
          credentialsOf: (transaction) => backendJudges.credentialsFor({ upstream, server }, transaction),
        }),
      }),
    )
  const relays = new Map<string, Destination>()
  return (route) => {
    if (route.to === 'store') return stored
    // One address of a directory: made for this transaction, and there may be any number of them.
    if (route.server !== undefined) return relayTo(route)
    const known = relays.get(route.upstream)
    if (known !== undefined) return known
    const relay = relayTo(route)
    relays.set(route.upstream, relay)
    return relay
  }
}

/** What EHLO may promise: what the backends can do that mail of this listener may reach, and the store, where it is one of them. */
function extensionsOf(
  { name, protocol }: ListenerInfo,
  { live, upstreams, journal }: SharedParts,
): () => DestinationExtensions {
  const { upstreams: reachable, reachesStore } = upstreams.routes.reachableFrom(name, 'mail')
  // Without accounts nothing is local, and the store sees no mail.
  const usesStore = reachesStore || live.accounts.file !== undefined || reachable.size === 0
  // LMTP has a verdict for each recipient, so one transaction may lead to several places; and so it may with a journal.
  const isApart = protocol !== 'lmtp' && journal === undefined
  return upstreams.extensionsOf([...reachable], usesStore ? [storeExtensions] : [], isApart)
}

function now(): Date {
  return new Date()
}

/* From the table [policy] to what it comes to. */
import type { ConfigFile, PolicyTable } from './config-file.ts'
import type { KeyPath } from './key-path.ts'
import type { Problems } from './problems.ts'
import type { Resolving } from './resolving.ts'
import type { AccessRuleConfig, AuthenticationConfig, DnsListConfig, PolicyConfig, ScannerConfig } from './schema.ts'

export function resolvePolicy(
  policy: PolicyTable,
  listeners: ConfigFile['listener'],
  { problems, warn }: Pick<Resolving, 'problems' | 'warn'>,
): PolicyConfig {
  const access = resolveAccess(policy, listeners, problems)
  const dnsLists = resolveDnsLists(policy, listeners, { problems, warn })
  const { hello, rate, ban, fleet } = policy
  if (ban.longest < ban.first) {
    problems.add({ path: ['policy', 'ban', 'longest'], expected: 'no less than `first`', found: 'a shorter time' })
  }
  return {
    deny: policy.deny,
    ...(policy['deny-reply'] === undefined ? {} : { denyReply: policy['deny-reply'] }),
    ignoredHosts: policy['ignored-hosts'],
    exemptNetworks: policy['exempt-networks'],
    access,
    dnsLists,
    hello: {
      syntax: hello.syntax,
      unqualified: hello.unqualified,
      ownName: hello['own-name'],
      addressLiteral: hello['address-literal'],
    },
    rate: {
      connectionsPerClient: rate['connections-per-client'],
      connectionsPerNetwork: rate['connections-per-network'],
      commandsPerClient: rate['commands-per-client'],
      messagesPerClient: rate['messages-per-client'],
      messagesPerUser: rate['messages-per-user'],
      recipientsPerClient: rate['recipients-per-client'],
      recipientsPerUser: rate['recipients-per-user'],
      failedLoginsPerClient: rate['failed-logins-per-client'],
      failedLoginsPerUser: rate['failed-logins-per-user'],
    },
    concurrency: {
      connectionsPerClient: policy.concurrency['connections-per-client'],
      connectionsPerNetwork: policy.concurrency['connections-per-network'],
      sessionsPerUser: policy.concurrency['sessions-per-user'],
    },
    networkBits: policy['network-bits'],
    ban: { firstMs: ban.first, longestMs: ban.longest },
    ...(fleet === undefined ? {} : { fleet: { url: fleet.url, prefix: fleet.prefix, timeoutMs: fleet.timeout } }),
  }
}

function resolveAccess(
  policy: PolicyTable,
  listeners: ConfigFile['listener'],
  problems: Problems,
): readonly AccessRuleConfig[] {
  return policy.access.map((rule, index) => {
    const path: KeyPath = ['policy', 'access', index]
    const { networks, action, code, text } = rule
    checkListeners(rule.listeners, path, listeners, problems)
    const wanted = { defer: 4, refuse: 5 }[action as 'defer' | 'refuse'] as number | undefined
    if (code !== undefined && Math.floor(code / 100) !== wanted) {
      const expected = wanted === undefined ? `nothing, with action = "${action}"` : `a code of ${wanted}yz`
      problems.add({ path: [...path, 'code'], expected, found: String(code) })
    }
    if (text !== undefined && wanted === undefined) {
      const expected = `nothing, with action = "${action}": nothing is said`
      problems.add({ path: [...path, 'text'], expected, found: 'words' })
    }
    return {
      networks,
      action,
      ...(code === undefined ? {} : { code }),
      ...(text === undefined ? {} : { text }),
      ...(rule.listeners === undefined ? {} : { listeners: rule.listeners }),
    }
  })
}

function resolveDnsLists(
  policy: PolicyTable,
  listeners: ConfigFile['listener'],
  { problems, warn }: Pick<Resolving, 'problems' | 'warn'>,
): readonly DnsListConfig[] {
  const forMail = Object.keys(listeners).filter((name) => listeners[name]?.protocol === 'smtp')
  const zones = new Set<string>()
  return policy['dns-list'].map((list, index) => {
    const path: KeyPath = ['policy', 'dns-list', index]
    const zone = list.zone.toLowerCase()
    checkListeners(list.listeners, path, listeners, problems)
    if (zones.has(zone)) {
      problems.add({ path: [...path, 'zone'], expected: 'a list that is not there yet', found: `"${zone}"` })
    }
    zones.add(zone)
    if (list.kind === 'allow' && list.text !== undefined) {
      const expected = 'nothing: a client on an allow list is told nothing'
      problems.add({ path: [...path, 'text'], expected, found: 'words' })
    }
    if (list.listeners === undefined && forMail.length === 0) {
      warn([...path, 'zone'], `nobody asks ${zone}: there is no listener with protocol = "smtp", and none is named`)
    }
    return {
      zone,
      kind: list.kind,
      answers: list.answers,
      action: list.action,
      ...(list.text === undefined ? {} : { text: list.text }),
      listeners: list.listeners ?? forMail,
    }
  })
}

function checkListeners(
  names: readonly string[] | undefined,
  path: KeyPath,
  listeners: ConfigFile['listener'],
  problems: Problems,
): void {
  for (const [place, name] of (names ?? []).entries()) {
    if (Object.hasOwn(listeners, name) || !problems.isSound('listener', name)) continue
    const expected = `a listener of this file: ${Object.keys(listeners).join(', ')}`
    problems.add({ path: [...path, 'listeners', place], expected, found: `"${name}"` })
  }
}

/** What is asked about messages as a whole; absent where nothing is. */
export function resolveInspection(
  { authentication, scanner, listener: listeners }: Pick<ConfigFile, 'authentication' | 'scanner' | 'listener'>,
  { problems }: Pick<Resolving, 'problems'>,
): { readonly authentication?: AuthenticationConfig; readonly scanner?: ScannerConfig } {
  const named = (names: readonly string[] | undefined, key: string, protocols: readonly string[]): string[] => {
    for (const [place, name] of (names ?? []).entries()) {
      const listener = listeners[name]
      if (listener !== undefined && listener.protocol !== 'imap') continue
      if (listener === undefined && !problems.isSound('listener', name)) continue
      const expected = `a listener of this file that takes mail: ${Object.keys(listeners).join(', ')}`
      problems.add({ path: [key, 'listeners', place], expected, found: `"${name}"` })
    }
    return [...(names ?? Object.keys(listeners).filter((name) => protocols.includes(listeners[name]?.protocol ?? '')))]
  }
  return {
    ...(authentication.check && {
      authentication: {
        listeners: named(authentication.listeners, 'authentication', ['smtp']),
        onSpfFail: authentication['on-spf-fail'],
        onDmarcFail: authentication['on-dmarc-fail'],
        trustedArcSealers: authentication['trusted-arc-sealers'].map((sealer) => sealer.toLowerCase()),
        timeoutMs: authentication.timeout,
        threads: authentication.threads,
      },
    }),
    ...(scanner !== undefined && {
      scanner: {
        url: scanner.url,
        listeners: named(scanner.listeners, 'scanner', ['smtp', 'submission']),
        timeoutMs: scanner.timeout,
        maxBytes: scanner['max-size'],
        whenDown: scanner['when-down'],
      },
    }),
  }
}

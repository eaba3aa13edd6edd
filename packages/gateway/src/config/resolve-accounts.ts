/* From [accounts] to the file that has been read, and to whom tokens are shown. */
import { readAccounts, type Accounts } from '../auth/accounts-file.ts'
import { splitMailbox } from '../route/local-mailbox.ts'
import type { ConfigFile } from './config-file.ts'
import { storeDomainsOf } from './local-domains.ts'
import type { Resolving } from './resolving.ts'
import type { AccountsConfig, ConfigProblem, ListenerConfig } from './schema.ts'

/** @param problemsElsewhere - where problems in the accounts file itself are put, with their lines. */
export async function accountsOf(
  configFile: ConfigFile,
  listeners: readonly ListenerConfig[],
  problemsElsewhere: ConfigProblem[],
  resolving: Resolving,
): Promise<AccountsConfig> {
  const { accounts, listener } = configFile
  const { problems, warn, path: fileOf } = resolving
  const { file: name, 'client-certificates': takesCertificates } = accounts
  const oauth = await oauthOf(accounts, resolving)
  if (name === undefined) {
    const useless = listeners.find(({ protocol }) => protocol === 'submission' || protocol === 'imap')
    if (useless !== undefined && listener[useless.name]?.['sign-in'] !== 'upstream') {
      const message = `nobody can sign in on listener ${useless.name}: there is no accounts file`
      warn(['accounts', 'file'], message)
    }
    return { takesCertificates, ...oauth }
  }
  const file = fileOf(name)
  const outcome = await readAccounts(file)
  if (!outcome.ok) {
    for (const problem of outcome.problems) {
      if (problem.line > 0) {
        problemsElsewhere.push(problem)
        continue
      }
      const hint = outcome.isMissing ? { hint: 'make it with `postern user add NAME -c FILE`' } : {}
      const found = `${file}: ${problem.found}`
      problems.add({ path: ['accounts', 'file'], expected: problem.expected, found, ...hint })
    }
  }
  if (outcome.ok) warnOfAliases(outcome.accounts, configFile, resolving)
  const hasAny = outcome.ok && outcome.accounts.size > 0
  return { file, ...(hasAny ? { hasAny } : {}), takesCertificates, ...oauth }
}

/** An alias is for mail and nothing else, so one that none can reach is a mistake. One warning, however many there are. */
function warnOfAliases(accounts: Accounts, file: ConfigFile, { warn }: Resolving): void {
  const domains = storeDomainsOf(file)
  if (domains === undefined) return
  const all = [...accounts.values()].flatMap(({ aliases = [] }) => aliases)
  const [first, ...others] = all.filter(
    (alias) => !alias.includes('@') || !domains.includes(splitMailbox(alias).domain),
  )
  if (first === undefined) return
  const more = others.length === 0 ? '' : ` and ${others.length} more`
  warn(['accounts', 'file'], `no mail comes for the alias ${first}${more}: the domain is none of smtp.local-domains`)
}

async function oauthOf(
  { oauth, file }: ConfigFile['accounts'],
  { problems, secretIn }: Resolving,
): Promise<Pick<AccountsConfig, 'oauth'>> {
  if (oauth === undefined) return {}
  const path = ['accounts', 'oauth']
  if (file === undefined && problems.isSound('accounts', 'file')) {
    const expected = 'an accounts file too: a token says who somebody is, and the file who has mail here'
    problems.add({ path: ['accounts', 'file'], expected, found: 'nothing' })
  }
  const secret = await secretIn(oauth['client-secret-file'], [...path, 'client-secret-file'])
  if (secret !== undefined && oauth['client-id'] === undefined && problems.isSound(...path)) {
    const expected = 'who we are, since there is a client-secret-file'
    problems.add({ path: [...path, 'client-id'], expected, found: 'nothing' })
  }
  return {
    oauth: {
      introspectionUrl: oauth['introspection-url'],
      accountClaim: oauth['account-claim'],
      timeoutMs: oauth.timeout,
      cacheMs: oauth['cache-time'] === 'off' ? 0 : oauth['cache-time'],
      ...(oauth['client-id'] === undefined ? {} : { clientId: oauth['client-id'] }),
      ...(secret === undefined ? {} : { clientSecret: secret }),
      ...(oauth.scope === undefined ? {} : { scope: oauth.scope }),
      ...(oauth.audience === undefined ? {} : { audience: oauth.audience }),
      ...(oauth['discovery-url'] === undefined ? {} : { discoveryUrl: oauth['discovery-url'] }),
    },
  }
}

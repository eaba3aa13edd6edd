import { stat } from 'node:fs/promises'
import {
  decoyScramKeys,
  limits as coreLimits,
  type AuthOutcome,
  type Authenticator,
  type Awaitable,
  type CertificateClaim,
  type ConnectionInfo,
  type Credentials,
  type ScramClaim,
  type ScramOutcome,
  type TokenClaim,
  type TokenHints,
} from '@postern/core'
import type { AccountsConfig, ConfigProblem, LimitsConfig, OauthConfig } from '../config/schema.ts'
import { GatewayError } from '../errors.ts'
import { limits as gatewayLimits } from '../limits.ts'
import { clientKey } from '../policy/client-key.ts'
import type { QuotaLimits } from '@postern/maildir'
import { foldMailbox, splitMailbox } from '../route/local-mailbox.ts'
import { readAccounts, type Account, type Accounts } from './accounts-file.ts'
import { PasswordChecks } from './password-checks.ts'
import { costOf, decoyHash, type PasswordHash } from './password-hash.ts'
import { isAccountName, preparePassword } from './prepare.ts'
import { TokenIntrospection } from './token-introspection.ts'

export interface FileAuthenticatorOptions {
  /** Absent: nobody can sign in. */
  readonly file?: string
  /** A verified client certificate signs in the account that its common name says. */
  readonly takesCertificates?: boolean
  /** Tokens are asked about there, and sign in the account that they are for. */
  readonly tokens?: TokenIntrospection
  readonly tokenHints?: TokenHints
  readonly checksAtOnce: number
  readonly checksWaiting: number
  /** The file changed and cannot be used: the accounts that were read before stay in force. Told once a change. */
  readonly onUnusable?: (problems: readonly ConfigProblem[]) => void
}

/** What of a live configuration is about who may sign in. */
interface AuthenticatorConfig {
  readonly accounts: AccountsConfig
  readonly limits: Pick<LimitsConfig, 'passwordChecksAtOnce' | 'passwordChecksWaiting'>
}

/** The authenticator that a live configuration asks for. */
export function createAuthenticator(
  { accounts, limits }: AuthenticatorConfig,
  onUnusable: (problems: readonly ConfigProblem[]) => void,
): FileAuthenticator {
  return new FileAuthenticator({
    ...(accounts.file === undefined ? {} : { file: accounts.file }),
    takesCertificates: accounts.takesCertificates,
    ...tokensOf(accounts.oauth),
    checksAtOnce: limits.passwordChecksAtOnce,
    checksWaiting: limits.passwordChecksWaiting,
    onUnusable,
  })
}

function tokensOf(oauth: OauthConfig | undefined): Pick<FileAuthenticatorOptions, 'tokens' | 'tokenHints'> {
  if (oauth === undefined) return {}
  const { scope, discoveryUrl } = oauth
  return {
    tokens: new TokenIntrospection(oauth),
    tokenHints: {
      ...(scope === undefined ? {} : { scope }),
      ...(discoveryUrl === undefined ? {} : { discoveryUrl }),
    },
  }
}

/**
 * Signs in by the accounts file. Every login looks whether the file was replaced (some 50 µs beside 30 ms of hashing),
 * so that a new password or a removed account holds at once in every worker, without a signal.
 */
export class FileAuthenticator implements Authenticator {
  /** Absent without a file, so that no client is asked for a password that cannot be right. */
  readonly verify?: (credentials: Credentials, connection: Pick<ConnectionInfo, 'identity'>) => Promise<AuthOutcome>
  /** Absent unless an operator wants it, so that EXTERNAL is not offered. */
  readonly verifyCertificate?: (claim: CertificateClaim) => Promise<AuthOutcome>
  /** Absent unless somebody knows tokens. */
  readonly verifyToken?: (claim: TokenClaim, connection: Pick<ConnectionInfo, 'identity'>) => Promise<AuthOutcome>
  readonly tokenHints?: TokenHints
  readonly #options: FileAuthenticatorOptions
  readonly #checks: PasswordChecks
  #known: KnownAccounts | undefined
  #reading: Promise<KnownAccounts> | undefined
  /** What accounts that are gone from the file might hold: who is signed in as one goes on. */
  readonly #lastQuotas = new Map<string, QuotaLimits | undefined>()
  /** When the file was last as it is known, ms of the monotonic clock. */
  #lookedAtMs = -Infinity

  constructor(options: FileAuthenticatorOptions) {
    this.#options = options
    if (options.file !== undefined) {
      this.verify = (credentials, { identity }) => this.#verifyPassword(credentials, clientKey(identity.client.address))
    }
    if (options.takesCertificates === true) this.verifyCertificate = (claim) => this.#verifyCertificate(claim)
    const { tokens, tokenHints } = options
    if (tokens !== undefined) this.verifyToken = (claim, connection) => this.#verifyToken(tokens, claim, connection)
    if (tokenHints !== undefined) this.tokenHints = tokenHints
    this.#checks = new PasswordChecks({ atOnce: options.checksAtOnce, waiting: options.checksWaiting })
  }

  /**
   * Present when every account has keys, as the accounts were read last: a client that is offered SCRAM does not try its
   * password in another way, so an account without keys could not sign in at all.
   */
  get scramKeys(): ((claim: ScramClaim) => Promise<ScramOutcome>) | undefined {
    return this.#known?.scram === undefined ? undefined : this.#scramKeys
  }

  /** Password checks that wait for a thread. */
  get checksWaiting(): number {
    return this.#checks.waiting
  }

  /** Reads the accounts before anybody asks, so that the first client is offered what the second one is. Rejects never. */
  async prepare(): Promise<void> {
    try {
      await this.#accounts()
    } catch {
      // Whoever signs in is told, and the operator with them.
    }
  }

  /**
   * Whether there is an account of this name.
   * @throws {GatewayError} when the file cannot be read: that is no answer.
   */
  async has(account: string): Promise<boolean> {
    return (await this.#accounts()).accounts.has(account)
  }

  /**
   * The account that gets the mail of this address, which is no account's name: one of its aliases, as it is written or
   * folded, or its name folded. @throws {GatewayError} as `has`.
   */
  async ownerOf(address: string): Promise<string | undefined> {
    return (await this.#accounts()).owners.get(address)
  }

  /**
   * What the account may hold; `undefined` without limits. Each message that comes or goes asks, so the file is not looked at
   * for it again and again. One that was removed may hold what it might before. @throws {GatewayError} as `has`.
   */
  quotaOf(account: string): Awaitable<QuotaLimits | undefined> {
    const known = this.#known
    const isFresh = known !== undefined && performance.now() - this.#lookedAtMs < gatewayLimits.quotaFreshMs
    if (!isFresh) return this.#accounts().then((now) => this.#quotaIn(now, account))
    return this.#quotaIn(known, account)
  }

  #quotaIn({ accounts }: KnownAccounts, account: string): QuotaLimits | undefined {
    const found = accounts.get(account)
    return found === undefined ? this.#lastQuotas.get(account) : quotaOf(found)
  }

  /** The account that stands first in the file. @throws {GatewayError} as `has`. */
  async first(): Promise<string | undefined> {
    const [account] = (await this.#accounts()).accounts.keys()
    return account
  }

  async #verifyPassword(credentials: Credentials, client: string): Promise<AuthOutcome> {
    try {
      return await this.#check(credentials, client)
    } catch (cause) {
      return { outcome: 'unavailable', cause }
    }
  }

  async #check({ username, actAs, password }: Credentials, client: string): Promise<AuthOutcome> {
    // RFC 4616 section 2: acting as another identity needs a right to it, and nobody has one here.
    if (actAs !== undefined && actAs !== '' && actAs !== username) return denied
    // Judged by what was sent alone, so that how soon the answer comes tells nothing of any account.
    const prepared = preparePassword(password.reveal())
    if (prepared === undefined || !isAccountName(username)) return denied

    const { accounts, decoy } = await this.#accounts()
    const hash = accounts.get(username)?.password
    const verdict = await this.#checks.check(prepared, hash ?? decoy, client)
    if (verdict === 'full') {
      const detail = `${this.#options.checksWaiting} password checks wait already`
      return { outcome: 'unavailable', cause: new GatewayError('GATEWAY_PASSWORD_QUEUE_FULL', detail) }
    }
    if (verdict === 'wrong' || hash === undefined) return denied
    return { outcome: 'granted', principal: { account: username, username } }
  }

  readonly #scramKeys = async ({ username, actAs }: ScramClaim): Promise<ScramOutcome> => {
    try {
      const { accounts, scram } = await this.#accounts()
      // Made for every name, so that the time tells nothing.
      const decoy = decoyScramKeys(username, scram?.decoy ?? noSecret, scram?.iterations)
      const keys = accounts.get(username)?.scram
      // Acting as another identity needs a right to it, and nobody has one here.
      if (keys === undefined || actAs !== undefined) return { outcome: 'unknown', keys: decoy }
      return { outcome: 'found', keys, principal: { account: username, username } }
    } catch (cause) {
      return { outcome: 'unavailable', cause }
    }
  }

  async #verifyToken(
    tokens: TokenIntrospection,
    { username, token }: TokenClaim,
    { identity }: Pick<ConnectionInfo, 'identity'>,
  ): Promise<AuthOutcome> {
    try {
      const verdict = await tokens.check(token.reveal(), clientKey(identity.client.address))
      if (verdict.outcome !== 'active') return verdict.outcome === 'inactive' ? denied : verdict
      const { account } = verdict
      // Whose mail is wanted, and whose token it is, must be the same; an account that was removed has no mail.
      if ((username ?? account) !== account || !(await this.has(account))) return denied
      return { outcome: 'granted', principal: { account, username: account } }
    } catch (cause) {
      return { outcome: 'unavailable', cause }
    }
  }

  async #verifyCertificate({ commonName, actAs = commonName }: CertificateClaim): Promise<AuthOutcome> {
    if (actAs !== commonName || !isAccountName(commonName)) return denied
    try {
      return (await this.has(commonName))
        ? { outcome: 'granted', principal: { account: commonName, username: commonName } }
        : denied
    } catch (cause) {
      return { outcome: 'unavailable', cause }
    }
  }

  async #accounts(): Promise<KnownAccounts> {
    const { file } = this.#options
    if (file === undefined) return (this.#known ??= know('', new Map(), undefined))
    const lookedAtMs = performance.now()
    const version = await versionOf(file)
    if (this.#known?.version === version) {
      this.#lookedAtMs = lookedAtMs
      return this.#known
    }
    // Logins that come together read the file once.
    this.#reading ??= this.#read(file, version).finally(() => {
      this.#reading = undefined
    })
    return this.#reading
  }

  async #read(file: string, version: string): Promise<KnownAccounts> {
    const outcome = await readAccounts(file)
    if (outcome.ok) {
      for (const [name, account] of this.#known?.accounts ?? []) {
        if (!outcome.accounts.has(name)) this.#lastQuotas.set(name, quotaOf(account))
      }
      return (this.#known = know(version, outcome.accounts, outcome.scramDecoy))
    }
    if (this.#known !== undefined) {
      this.#options.onUnusable?.(outcome.problems)
      return (this.#known = { ...this.#known, version })
    }
    const [problem] = outcome.problems
    throw new GatewayError('GATEWAY_ACCOUNTS', `${file}: expected ${problem?.expected}, found ${problem?.found}`)
  }
}

const denied: AuthOutcome = { outcome: 'denied' }

/** Only while the file is replaced by one without SCRAM: what is begun by it then ends, denied. */
const noSecret = Buffer.alloc(32)

interface KnownAccounts {
  /** Of the file that they were read from. */
  readonly version: string
  readonly accounts: Accounts
  /** From addresses that are no account's name to the account that gets their mail. */
  readonly owners: ReadonlyMap<string, string>
  /** Tried for unknown names: it costs what most accounts cost. */
  readonly decoy: PasswordHash
  /** By which names that are unknown are given keys, with as many iterations as most accounts; absent when not all have any. */
  readonly scram: { readonly decoy: Buffer; readonly iterations: number } | undefined
}

function know(version: string, accounts: Accounts, scramDecoy: Buffer | undefined): KnownAccounts {
  const all = [...accounts.values()]
  const keys = all.flatMap(({ scram }) => (scram === undefined ? [] : [scram]))
  const hasAll = scramDecoy !== undefined && keys.length > 0 && keys.length === all.length
  const passwords = all.map(({ password }) => password)
  return {
    version,
    accounts,
    owners: ownersOf(accounts),
    decoy: decoyHash(mostCommon(passwords, costOf)),
    scram: hasAll
      ? {
          decoy: scramDecoy,
          iterations: mostCommon(keys, ({ iterations }) => iterations)?.iterations ?? coreLimits.scramIterations,
        }
      : undefined,
  }
}

/** What is written goes first. A folded spelling that would be of two accounts is nobody's: neither gets the other's mail. */
function ownersOf(accounts: Accounts): ReadonlyMap<string, string> {
  const owners = new Map([...accounts].flatMap(([name, { aliases = [] }]) => aliases.map((alias) => [alias, name])))
  const spelled = [...accounts].flatMap(([name, { aliases = [] }]) =>
    [name, ...aliases].filter((address) => address.includes('@')).map((address) => [fold(address), name] as const),
  )
  const byFolded = Map.groupBy(
    spelled.filter(([folded]) => !accounts.has(folded) && !owners.has(folded)),
    ([folded]) => folded,
  )
  for (const [folded, of] of byFolded) {
    const [name, ...others] = new Set(of.map(([, owner]) => owner))
    if (name !== undefined && others.length === 0) owners.set(folded, name)
  }
  return owners
}

function fold(address: string): string {
  return foldMailbox(splitMailbox(address))
}

/** One of those that have the key which most have. */
function mostCommon<T>(all: readonly T[], keyOf: (one: T) => unknown): T | undefined {
  const groups = Map.groupBy(all, keyOf)
  return [...groups.values()].sort((a, b) => b.length - a.length)[0]?.[0]
}

function quotaOf({ quotaBytes: bytes, quotaMessages: messages }: Account): QuotaLimits | undefined {
  if (bytes === undefined && messages === undefined) return undefined
  return { ...(bytes === undefined ? {} : { bytes }), ...(messages === undefined ? {} : { messages }) }
}

/** Changes with every replacement of the file, and with every change in place that moves its clock or rights. */
async function versionOf(file: string): Promise<string> {
  try {
    const { dev, ino, size, mtimeNs, ctimeNs } = await stat(file, { bigint: true })
    return [dev, ino, size, mtimeNs, ctimeNs].join('.')
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? 'unknown'
  }
}

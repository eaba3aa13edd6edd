import { stat } from 'node:fs/promises'
import type { AuthOutcome, Authenticator, CertificateClaim, ConnectionInfo, Credentials } from '@postern/core'
import type { ConfigProblem, LiveConfig } from '../config/schema.ts'
import { GatewayError } from '../errors.ts'
import { clientKey } from '../policy/client-key.ts'
import { readAccounts, type Accounts } from './accounts-file.ts'
import { PasswordChecks } from './password-checks.ts'
import { costOf, decoyHash, type PasswordHash } from './password-hash.ts'
import { isAccountName, preparePassword } from './prepare.ts'

export interface FileAuthenticatorOptions {
  /** Absent: nobody can sign in. */
  readonly file?: string
  /** A verified client certificate signs in the account that its common name says. */
  readonly takesCertificates?: boolean
  readonly checksAtOnce: number
  readonly checksWaiting: number
  /** The file changed and cannot be used: the accounts that were read before stay in force. Told once a change. */
  readonly onUnusable?: (problems: readonly ConfigProblem[]) => void
}

/** The authenticator that a live configuration asks for. */
export function createAuthenticator(
  { accounts, limits }: LiveConfig,
  onUnusable: (problems: readonly ConfigProblem[]) => void,
): FileAuthenticator {
  return new FileAuthenticator({
    ...(accounts.file === undefined ? {} : { file: accounts.file }),
    takesCertificates: accounts.takesCertificates,
    checksAtOnce: limits.passwordChecksAtOnce,
    checksWaiting: limits.passwordChecksWaiting,
    onUnusable,
  })
}

/**
 * Signs in by the accounts file. Every login looks whether the file was replaced (some 50 µs beside 30 ms of hashing),
 * so that a new password or a removed account holds at once in every worker, without a signal.
 */
export class FileAuthenticator implements Authenticator {
  /** Absent unless an operator wants it, so that EXTERNAL is not offered. */
  readonly verifyCertificate?: (claim: CertificateClaim) => Promise<AuthOutcome>
  readonly #options: FileAuthenticatorOptions
  readonly #checks: PasswordChecks
  #known: KnownAccounts | undefined
  #reading: Promise<KnownAccounts> | undefined

  constructor(options: FileAuthenticatorOptions) {
    this.#options = options
    if (options.takesCertificates === true) this.verifyCertificate = (claim) => this.#verifyCertificate(claim)
    this.#checks = new PasswordChecks({ atOnce: options.checksAtOnce, waiting: options.checksWaiting })
  }

  async verify(credentials: Credentials, { identity }: Pick<ConnectionInfo, 'identity'>): Promise<AuthOutcome> {
    try {
      return await this.#verify(credentials, clientKey(identity.client.address))
    } catch (cause) {
      return { outcome: 'unavailable', cause }
    }
  }

  /**
   * Whether there is an account of this name.
   * @throws {GatewayError} when the file cannot be read: that is no answer.
   */
  async has(account: string): Promise<boolean> {
    return (await this.#accounts()).accounts.has(account)
  }

  /** The account that stands first in the file. @throws {GatewayError} as `has`. */
  async first(): Promise<string | undefined> {
    const [account] = (await this.#accounts()).accounts.keys()
    return account
  }

  async #verify({ username, actAs, password }: Credentials, client: string): Promise<AuthOutcome> {
    // RFC 4616 section 2: acting as another identity needs a right to it, and nobody has one here.
    if (actAs !== undefined && actAs !== '' && actAs !== username) return denied
    // Judged by what was sent alone, so that how soon the answer comes tells nothing of any account.
    const prepared = preparePassword(password.reveal())
    if (prepared === undefined || !isAccountName(username)) return denied

    const { accounts, decoy } = await this.#accounts()
    const hash = accounts.get(username)
    const verdict = await this.#checks.check(prepared, hash ?? decoy, client)
    if (verdict === 'full') {
      const detail = `${this.#options.checksWaiting} password checks wait already`
      return { outcome: 'unavailable', cause: new GatewayError('GATEWAY_PASSWORD_QUEUE_FULL', detail) }
    }
    if (verdict === 'wrong' || hash === undefined) return denied
    return { outcome: 'granted', principal: { account: username, username } }
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
    if (file === undefined) return (this.#known ??= know('', new Map()))
    const version = await versionOf(file)
    if (this.#known?.version === version) return this.#known
    // Logins that come together read the file once.
    this.#reading ??= this.#read(file, version).finally(() => {
      this.#reading = undefined
    })
    return this.#reading
  }

  async #read(file: string, version: string): Promise<KnownAccounts> {
    const outcome = await readAccounts(file)
    if (outcome.ok) return (this.#known = know(version, outcome.accounts))
    if (this.#known !== undefined) {
      this.#options.onUnusable?.(outcome.problems)
      return (this.#known = { ...this.#known, version })
    }
    const [problem] = outcome.problems
    throw new GatewayError('GATEWAY_ACCOUNTS', `${file}: expected ${problem?.expected}, found ${problem?.found}`)
  }
}

const denied: AuthOutcome = { outcome: 'denied' }

interface KnownAccounts {
  /** Of the file that they were read from. */
  readonly version: string
  readonly accounts: Accounts
  /** Tried for unknown names: it costs what most accounts cost. */
  readonly decoy: PasswordHash
}

function know(version: string, accounts: Accounts): KnownAccounts {
  return { version, accounts, decoy: decoyHash(mostCommon([...accounts.values()])) }
}

function mostCommon(hashes: readonly PasswordHash[]): PasswordHash | undefined {
  const groups = Map.groupBy(hashes, costOf)
  return [...groups.values()].sort((a, b) => b.length - a.length)[0]?.[0]
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

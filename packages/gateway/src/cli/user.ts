import { resolve } from 'node:path'
import { Command } from 'commander'
import { changeAccounts, readAccounts, type Account, type Accounts } from '../auth/accounts-file.ts'
import { makeAccount } from '../auth/make-account.ts'
import { accountNameWords, isAccountName, preparePassword } from '../auth/prepare.ts'
import { defaultDataDir, defaultLocalDomains } from '../config/default-config.ts'
import { findAccountsFile, type FoundAccounts } from '../config/load.ts'
import { reasonOf } from '../config/read-file.ts'
import type { ConfigProblem } from '../config/schema.ts'
import { limits } from '../limits.ts'
import { splitMailbox } from '../route/local-mailbox.ts'
import { foldAddress } from '../route/patterns.ts'
import { exitStatus } from './exit-status.ts'
import { askPassword, readPasswordLine } from './password-input.ts'
import { problemText } from './problem-text.ts'
import { CommandFailure, print, type Terminal } from './terminal.ts'

interface UserOptions {
  readonly config?: string
  readonly passwordStdin?: boolean
  /** False with `--no-scram`. */
  readonly scram?: boolean
}

export function userCommand(terminal: Terminal, finish: (status: number) => void): Command {
  const user = new Command('user')
    .summary('accounts of the embedded store')
    .description('Adds, changes, lists and removes accounts. A running gateway sees changes at the next login.')
  const sub = (name: string, summary: string): Command =>
    user
      .command(name)
      .summary(summary)
      .description(summary)
      .option('-c, --config <file>', `the configuration that names the accounts file (default: ${defaultDataDir}/)`)

  withPassword(sub('add', 'add an account'))
    .argument('<name>', 'as in ann@example.org')
    .action(async (name: string, options: UserOptions) => finish(await add(terminal, name, options)))
  withPassword(sub('passwd', 'change the password of an account'))
    .argument('<name>')
    .action(async (name: string, options: UserOptions) => finish(await passwd(terminal, name, options)))
  sub('list', 'list the accounts, a name a line').action(async (options: UserOptions) =>
    finish(await list(terminal, options)),
  )
  sub('remove', 'remove an account; its mail stays')
    .argument('<name>')
    .action(async (name: string, options: UserOptions) => finish(await remove(terminal, name, options)))
  return user
}

function withPassword(command: Command): Command {
  return command
    .option('--password-stdin', 'read the password from the first line of standard input')
    .option('--no-scram', 'write no keys for SCRAM, which is then offered to nobody')
}

async function add(terminal: Terminal, name: string, options: UserOptions): Promise<number> {
  if (!isAccountName(name)) throw new CommandFailure(exitStatus.usage, `expected ${accountNameWords}`)
  const found = await findAccounts(terminal, options)
  const { file } = found
  // Mail is delivered without regard to case, and to how a domain is spelled: two such names could not both get theirs.
  const isTaken = (accounts: Accounts): CommandFailure | undefined => {
    const names = [...accounts].flatMap(([each, { aliases = [] }]) => [each, ...aliases])
    const taken = names.find((each) => foldAddress(each) === foldAddress(name))
    return taken === undefined
      ? undefined
      : new CommandFailure(exitStatus.wrong, `${taken} is there already; see \`postern user passwd\``)
  }
  const early = isTaken(await existing(terminal, file, new Map()))
  if (early !== undefined) throw early
  const account = await newAccount(terminal, name, options)
  await change(terminal, file, (accounts) => {
    const late = isTaken(accounts)
    if (late !== undefined) throw late
    return new Map([...accounts, [name, account]])
  })
  await print(terminal.stdout, `added ${name}\n`)
  const warning = mailWarning(name, found)
  if (warning !== undefined) terminal.stderr.write(`warning: ${warning}\n`)
  return exitStatus.ok
}

/** An account may be signed in to and get no mail, by a name that is mistyped or a domain that was forgotten. */
function mailWarning(name: string, { localDomains }: FoundAccounts): string | undefined {
  if (localDomains === undefined || !name.includes('@')) return undefined
  const { domain } = splitMailbox(name)
  if (localDomains.includes(domain)) return undefined
  const ours = localDomains.length === 0 ? 'nothing is there' : `there: ${localDomains.join(', ')}`
  return `no mail comes for ${name}: ${domain} is none of smtp.local-domains (${ours})`
}

async function passwd(terminal: Terminal, name: string, options: UserOptions): Promise<number> {
  const file = await accountsFile(terminal, options)
  mustHave(await existing(terminal, file), name)
  const account = await newAccount(terminal, name, options)
  await change(
    terminal,
    file,
    (accounts) => new Map([...mustHave(accounts, name), [name, { ...exceptSecrets(accounts.get(name)), ...account }]]),
  )
  await print(terminal.stdout, `changed the password of ${name}\n`)
  return exitStatus.ok
}

/** What a new password leaves as it was; keys of the old one must not stay. */
function exceptSecrets(account: Account | undefined): Partial<Account> {
  const { aliases, quotaBytes, quotaMessages } = account ?? {}
  return {
    ...(aliases === undefined ? {} : { aliases }),
    ...(quotaBytes === undefined ? {} : { quotaBytes }),
    ...(quotaMessages === undefined ? {} : { quotaMessages }),
  }
}

async function list(terminal: Terminal, options: UserOptions): Promise<number> {
  const accounts = await existing(terminal, await accountsFile(terminal, options))
  await print(terminal.stdout, [...accounts.keys()].map((name) => `${name}\n`).join(''))
  return exitStatus.ok
}

async function remove(terminal: Terminal, name: string, options: UserOptions): Promise<number> {
  const file = await accountsFile(terminal, options)
  await change(terminal, file, (accounts) => {
    const rest = new Map(mustHave(accounts, name))
    rest.delete(name)
    return rest
  })
  await print(terminal.stdout, `removed ${name}; its mail is still there, and so are sessions that are open\n`)
  return exitStatus.ok
}

// ── accounts ────────────────────────────────────────────────────────────────

async function accountsFile(terminal: Terminal, options: UserOptions): Promise<string> {
  return (await findAccounts(terminal, options)).file
}

async function findAccounts(terminal: Terminal, { config }: UserOptions): Promise<FoundAccounts> {
  if (config === undefined) {
    return { file: resolve(terminal.cwd, defaultDataDir, 'accounts.toml'), localDomains: defaultLocalDomains }
  }
  const found = await findAccountsFile(resolve(terminal.cwd, config))
  if (found.ok) return found
  throw unusable(terminal, found.problems)
}

/** @param whenMissing - what a file that is not there stands for; without it that is a failure. */
async function existing(terminal: Terminal, file: string, whenMissing?: Accounts): Promise<Accounts> {
  const outcome = await readAccounts(file)
  if (outcome.ok) return outcome.accounts
  if (outcome.isMissing && whenMissing !== undefined) return whenMissing
  if (outcome.isMissing) {
    throw new CommandFailure(exitStatus.io, `${file} is not there yet: the first \`postern user add\` makes it`)
  }
  throw unusable(terminal, outcome.problems)
}

async function change(terminal: Terminal, file: string, edit: (accounts: Accounts) => Accounts): Promise<void> {
  try {
    const outcome = await changeAccounts(file, edit)
    if (!outcome.ok) throw unusable(terminal, outcome.problems)
  } catch (error) {
    if (error instanceof CommandFailure) throw error
    throw new CommandFailure(exitStatus.io, `${file} cannot be written: ${reasonOf(error)}`)
  }
}

function mustHave(accounts: Accounts, name: string): Accounts {
  if (accounts.has(name)) return accounts
  throw new CommandFailure(exitStatus.wrong, `there is no account ${JSON.stringify(name)}`)
}

function unusable(terminal: Terminal, problems: readonly ConfigProblem[]): CommandFailure {
  const text = problems.map((problem) => problemText(problem, terminal.cwd)).join('')
  return new CommandFailure(exitStatus.io, text.trimEnd())
}

// ── passwords ───────────────────────────────────────────────────────────────

async function newAccount(terminal: Terminal, name: string, options: UserOptions): Promise<Account> {
  const account = await makeAccount(await newPassword(terminal, name, options), options.scram !== false)
  if (account !== undefined) return account
  const words = `at least ${limits.minPasswordCharacters} characters that can be seen`
  throw new CommandFailure(exitStatus.wrong, `for SCRAM a password has ${words}; see also --no-scram`)
}

/** Never from the command line, where other users of the machine and the shell's history would see it. */
async function newPassword(terminal: Terminal, name: string, { passwordStdin }: UserOptions): Promise<string> {
  const password = passwordStdin === true ? await readPasswordLine(terminal.stdin) : await askTwice(terminal, name)
  const prepared = preparePassword(password)
  if (prepared === undefined) {
    const words = `at most ${limits.maxPasswordBytes} bytes of UTF-8 without control characters`
    throw new CommandFailure(exitStatus.wrong, `a password is not empty, and has ${words}`)
  }
  if (prepared.length < limits.minPasswordCharacters) {
    throw new CommandFailure(exitStatus.wrong, `a password has at least ${limits.minPasswordCharacters} characters`)
  }
  return prepared
}

async function askTwice(terminal: Terminal, name: string): Promise<string> {
  if (terminal.stdin.isTTY !== true) {
    throw new CommandFailure(exitStatus.usage, 'standard input is no terminal: give --password-stdin')
  }
  const first = await askPassword(terminal, `Password for ${name}: `)
  if (first === (await askPassword(terminal, 'Again: '))) return first
  throw new CommandFailure(exitStatus.wrong, 'the two passwords differ')
}

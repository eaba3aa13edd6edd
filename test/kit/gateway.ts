import type { ChildProcess } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { Sessions } from '../../packages/gateway/src/admin/status.ts'
import { changeAccounts, type Account as StoredAccount } from '../../packages/gateway/src/auth/accounts-file.ts'
import { makeAccount } from '../../packages/gateway/src/auth/make-account.ts'
import { temporaryFolder } from './folder.ts'
import { eventually, usualPatienceMs, within } from './patience.ts'
import { run, start, type Outcome, type RunOptions } from './run.ts'

/** The compiled command: what `npm start` and a package run, so what is proven is what is used. */
export const command: string = fileURLToPath(new URL('../../packages/gateway/dist/main.js', import.meta.url))

export type LogRecord = Readonly<Record<string, unknown>> & { readonly event?: string; readonly msg?: string }

export interface Account {
  readonly name: string
  readonly password: string
}

/** The account of most tests. */
export const ann: Account = { name: 'ann@example.org', password: 'correct horse battery' }

export interface GatewayOptions {
  /** The configuration file; the data directory, the accounts file and the admin endpoint are added where it has none. */
  readonly config: string
  /** Where the admin endpoint listens. */
  readonly adminPort: number
  readonly accounts?: readonly Account[]
  /** For the data directory; a new temporary one otherwise. */
  readonly folder?: string
  /** A command that runs the gateway, as `setpriv` does with fewer capabilities. */
  readonly under?: readonly string[]
  /** Which records are kept, for runs that log more than a test can hold; all otherwise. */
  readonly keeps?: (record: LogRecord) => boolean
}

export interface Gateway {
  readonly pid: number
  /** Holds `postern.toml`, `accounts.toml` and `data/`. */
  readonly folder: string
  readonly configFile: string
  /** Everything logged so far. A line that is no JSON object is an error at once. */
  readonly log: readonly LogRecord[]
  /** The first record, from the start or yet to come, that the predicate accepts. */
  readonly waitForLog: (what: string, accepts: (record: LogRecord) => boolean, ms?: number) => Promise<LogRecord>
  /** Waits until everything that was logged before now has reached us. */
  readonly settleLog: () => Promise<void>
  /** Process ids of the workers that run now. */
  readonly workers: () => readonly number[]
  readonly rewriteConfig: (change: (text: string) => string) => void
  readonly signal: (signal: NodeJS.Signals) => void
  /** SIGTERM, where a test has sent none; it must end by itself, with status 0. */
  readonly stop: () => Promise<void>
  /** SIGKILL to the supervisor and every worker at once, as when the power fails. */
  readonly kill: () => Promise<void>
}

/** Runs `postern` with these arguments to its end. */
export function postern(args: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  requireBuilt()
  return run(process.execPath, [command, ...args], options)
}

/** A folder with a configuration, its accounts and its data directory; what a gateway is started on. */
export async function prepareFolder(options: GatewayOptions): Promise<{ folder: string; configFile: string }> {
  const folder = options.folder ?? temporaryFolder('gateway')
  mkdirSync(join(folder, 'data'), { recursive: true })
  const configFile = join(folder, 'postern.toml')
  writeFileSync(configFile, complete(options))
  const file = join(folder, 'accounts.toml')
  if (!existsSync(file)) writeFileSync(file, '', { mode: 0o600 })
  const accounts = options.accounts ?? [ann]
  if (accounts.length > 0) await addAccounts(file, accounts)
  return { folder, configFile }
}

/** By password: what is kept of one takes a hundred milliseconds to compute. */
const madeBefore = new Map<string, Promise<StoredAccount | undefined>>()

/** As `postern user add` does, without a process for each. */
async function addAccounts(file: string, accounts: readonly Account[]): Promise<void> {
  const made = new Map<string, StoredAccount>()
  for (const { name, password } of accounts) {
    const making = madeBefore.get(password) ?? makeAccount(password, true)
    madeBefore.set(password, making)
    const account = await making
    if (account === undefined) throw new Error(`${name}: the password is too short`)
    made.set(name, account)
  }
  const outcome = await changeAccounts(file, (before) => new Map([...before, ...made]))
  if (!outcome.ok) throw new Error(`${file}: ${JSON.stringify(outcome.problems)}`)
}

/** Starts the gateway as a child process and waits until all its workers accept. */
export async function startGateway(options: GatewayOptions): Promise<Gateway> {
  requireBuilt()
  const { folder, configFile } = await prepareFolder(options)
  const node = [process.execPath, '--enable-source-maps', command, 'serve', '-c', configFile]
  const [program = '', ...args] = [...(options.under ?? []), ...node]
  const child = start(program, args, { cwd: folder })
  const { pid } = child
  if (pid === undefined) throw new Error('the gateway could not be started')
  const log = new Log(child, options.keeps)
  /** By a SIGTERM that it should end: a second one later would have it end at once, with another status. */
  let isTold = false
  const exit = new Promise<number | null>((resolve) => {
    child.once('close', (code) => {
      log.end()
      resolve(code)
    })
  })

  await Promise.race([
    log.waitFor('that every listener accepts', ({ event }) => event === 'gateway.ready', 100_000),
    exit.then((code) => {
      throw new Error(`the gateway ended with ${code} before it was ready:\n${log.text}`)
    }),
  ])

  return {
    pid,
    folder,
    configFile,
    log: log.records,
    waitForLog: (what, accepts, ms = usualPatienceMs) => log.waitFor(what, accepts, ms),
    settleLog: () => log.settle(options.adminPort),
    workers: () => childrenOf(pid),
    rewriteConfig: (change) => {
      writeFileSync(configFile, change(readFileSync(configFile, 'utf8')))
    },
    signal: (signal) => {
      isTold ||= signal === 'SIGTERM'
      process.kill(pid, signal)
    },
    kill: async () => {
      for (const each of [pid, ...childrenOf(pid)]) killIfThere(each)
      await exit
    },
    stop: async () => {
      if (!isTold && child.exitCode === null && child.signalCode === null) child.kill('SIGTERM')
      const code = await within(usualPatienceMs, () => `the gateway to stop:\n${log.text}`, exit).catch(
        (error: unknown) => {
          child.kill('SIGKILL')
          throw error
        },
      )
      log.requireJson()
      if (code !== 0) throw new Error(`the gateway ended with ${code ?? child.signalCode}:\n${log.text}`)
    },
  }
}

/** `proc(5)`: the children of a process's main thread. */
function childrenOf(pid: number): readonly number[] {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim()
  return text === '' ? [] : text.split(' ').map(Number)
}

/** A worker may have died of something else meanwhile. */
function killIfThere(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

/** What every configuration of a test has, unless it says otherwise. */
function complete({ config, adminPort }: GatewayOptions): string {
  const lacks = (table: string): boolean => !new RegExp(`^\\[${table}\\]`, 'm').test(config)
  const parts = [config]
  if (lacks('server')) {
    parts.push('[server]\nhostname = "mx.example.org"\nworkers = 2\ndata-dir = "data"')
  }
  if (lacks('admin')) parts.push(`[admin]\nbind = "127.0.0.1:${adminPort}"`)
  if (lacks('dns')) parts.push('[dns]\nclient-names = false')
  if (lacks('accounts')) parts.push('[accounts]\nfile = "accounts.toml"')
  if (lacks('smtp')) parts.push('[smtp]\nlocal-domains = ["example.org"]')
  return `${parts.join('\n\n')}\n`
}

/** Longer than lines wait to be written. */
const gatheredMs = 220
/** Questions for open sessions that come sooner have the answer of the one before. */
const askedEveryMs = 110
const readEveryMs = 20

async function haveAllAnswered(adminPort: number): Promise<true | undefined> {
  const response = await fetch(`http://127.0.0.1:${adminPort}/sessions`).catch(() => undefined)
  if (response?.ok !== true) return undefined
  return ((await response.json()) as Pick<Sessions, 'missing'>).missing === 0 || undefined
}

class Log {
  readonly records: LogRecord[] = []
  readonly #notJson: string[] = []
  readonly #waiting = new Set<(record: LogRecord) => void>()
  #lines = ''
  #errors = ''
  #isEnded = false
  #reads = 0
  readonly #keeps: (record: LogRecord) => boolean

  constructor(child: ChildProcess, keeps: (record: LogRecord) => boolean = () => true) {
    this.#keeps = keeps
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.#read(text)
    })
    child.stderr?.setEncoding('utf8').on('data', (text: string) => (this.#errors += text))
  }

  get text(): string {
    return [...this.records.slice(-40).map((record) => JSON.stringify(record)), ...this.#notJson, this.#errors].join(
      '\n',
    )
  }

  requireJson(): void {
    if (this.#notJson.length > 0) throw new Error(`not a JSON log line: ${this.#notJson.join('\n')}`)
  }

  end(): void {
    this.#isEnded = true
  }

  async waitFor(what: string, accepts: (record: LogRecord) => boolean, ms: number): Promise<LogRecord> {
    const known = this.records.find(accepts)
    if (known !== undefined) return known
    const { promise, resolve } = Promise.withResolvers<LogRecord>()
    const look = (record: LogRecord): void => {
      if (accepts(record)) resolve(record)
    }
    this.#waiting.add(look)
    try {
      return await within(ms, () => `the log to tell ${what}:\n${this.text}`, promise)
    } finally {
      this.#waiting.delete(look)
    }
  }

  /**
   * Lines wait a fifth of a second in a worker before they are written, on a machine that is busy longer. A worker that
   * answers the supervisor's question behind that time has written them; then we read until nothing comes.
   */
  async settle(adminPort: number): Promise<void> {
    await pause(gatheredMs)
    for (let asked = 0; asked < 2 && !this.#isEnded; asked += 1) {
      await eventually('every worker to answer', async () => this.#isEnded || (await haveAllAnswered(adminPort)))
      await pause(askedEveryMs)
    }
    for (let seen = -1; seen !== this.#reads; await pause(readEveryMs)) seen = this.#reads
  }

  #read(text: string): void {
    this.#reads += 1
    const lines = (this.#lines + text).split('\n')
    this.#lines = lines.pop() ?? ''
    for (const line of lines) {
      if (line === '') continue
      const record = asRecord(line)
      if (record === undefined) {
        this.#notJson.push(line)
        continue
      }
      if (this.#keeps(record)) this.records.push(record)
      for (const look of this.#waiting) look(record)
    }
  }
}

function asRecord(line: string): LogRecord | undefined {
  try {
    const value: unknown = JSON.parse(line)
    return typeof value === 'object' && value !== null ? (value as LogRecord) : undefined
  } catch {
    return undefined
  }
}

function requireBuilt(): void {
  if (existsSync(command)) return
  throw new Error(`${dirname(command)} is not built: run \`npm test\`, or \`./node_modules/.bin/tsc -b\` first`)
}

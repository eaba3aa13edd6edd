/*
 * How fast mail is read: logins and commands a second, and server CPU for each, beside Dovecot on the same mail.
 */
import type { ImapOperation, LoadOptions } from '../load/options.ts'
import { dovecot } from '../peers/dovecot.ts'
import { startGateway } from '../peers/gateway.ts'
import { accountsOf, domains, password, seedMailboxes, type Mailboxes } from '../peers/mailboxes.ts'
import type { Contestant, Running } from '../peers/contestants.ts'
import { setting, type Setting } from '../report.ts'
import {
  contest,
  introduce,
  renderIntroduced,
  renderWorkload,
  type ContestOptions,
  type ContestRow,
  type Introduced,
  type Workload,
} from './contest.ts'
import { idleMemory, renderIdle, type IdleRow } from './idle.ts'

export interface ImapOptions extends ContestOptions, Mailboxes {
  /** Sessions at a time, of different users as far as there are. */
  readonly connections: number
  readonly workers: readonly number[]
  readonly idleConnections: number
}

export interface ImapReport {
  readonly setting: Setting
  readonly options: Omit<ImapOptions, 'onProgress'>
  readonly contestants: readonly Introduced[]
  readonly rows: readonly ContestRow[]
  readonly idle: readonly IdleRow[]
}

const reference = 'dovecot'

/**
 * What a mail program does when it looks at its mailbox: it opens it, asks for flags, lists some messages, reads two of
 * them and marks each; it searches, saves what it sent, and asks now and then whether there is news.
 */
const mailProgram: readonly ImapOperation[] = [
  'select',
  'fetch-flags',
  ...Array.from({ length: 5 }, () => 'fetch-envelope' as const),
  'fetch-body',
  'store',
  'fetch-body',
  'store',
  'search',
  'append',
  ...Array.from({ length: 3 }, () => 'noop' as const),
]

/** Both are spoken to as a balancer does that ends TLS: neither pays for it, and both let people sign in. */
const behindBalancer = { proxy: 'v2-ssl', clients: '203.0.113.0/24' } as const

export function imapWorkloads({ users, messages, connections }: ImapOptions): readonly Workload[] {
  const inMailbox = (name: string, mix: readonly ImapOperation[], more: Partial<LoadOptions> = {}): Workload => ({
    name,
    unit: 'commands',
    load: (server) => ({
      url: urlOf(server, domains.cheap),
      ...behindBalancer,
      mode: 'imap',
      mix,
      users,
      messages,
      connections,
      ...more,
    }),
  })
  const logins = (name: string, domain: string): Workload => ({
    name,
    unit: 'logins',
    load: (server) => ({ url: urlOf(server, domain), ...behindBalancer, mode: 'login', users, connections }),
  })
  return [
    logins('LOGIN, Argon2id of 19 MiB', domains.production),
    logins('LOGIN, a hash that takes no time', domains.cheap),
    inMailbox(`SELECT, ${messages} messages`, ['select']),
    inMailbox(`FETCH 1:* (FLAGS), ${messages} messages`, ['fetch-flags']),
    inMailbox('FETCH n (ENVELOPE …)', ['fetch-envelope']),
    inMailbox('FETCH n (BODY.PEEK[])', ['fetch-body']),
    inMailbox('SEARCH UNSEEN SINCE …', ['search']),
    inMailbox('SEARCH SUBJECT …', ['search-text']),
    inMailbox('STORE n FLAGS.SILENT', ['store']),
    inMailbox('APPEND, 2 KB', ['append'], { mailbox: 'Appended', size: 2_048 }),
    inMailbox('NOOP', ['noop']),
    inMailbox(`a mix: ${inWords(mailProgram)}`, mailProgram, { appendTo: 'Appended', size: 2_048 }),
  ]
}

export function posternImap(mailboxes: Mailboxes, workers: number): Contestant {
  return {
    name: `postern gateway${workers === 1 ? '' : `, ${workers} workers`}`,
    about: '`postern serve` with its default log and its Maildir; each APPEND synced',
    start: async () => {
      const accounts = accountsOf(mailboxes)
        .map(({ name, hash }) => `[[account]]\nname = "${name}"\npassword = "${hash}"\n`)
        .join('')
      const server = await startGateway({
        logLevel: 'info',
        workers,
        accounts,
        seed: (folder) => seedMailboxes(folder, mailboxes),
      })
      return { ...server, port: server.imap }
    },
  }
}

export function imapContestants(options: ImapOptions): readonly Contestant[] {
  return [
    ...options.workers.map((workers) => posternImap(options, workers)),
    dovecot(options, Math.max(...options.workers)),
  ]
}

export async function runImap(options: ImapOptions): Promise<ImapReport> {
  const contestants = imapContestants(options)
  const { rounds, seconds, warmupSeconds, users, messages, connections, workers, idleConnections } = options
  return {
    setting: setting(),
    options: { rounds, seconds, warmupSeconds, users, messages, connections, workers, idleConnections },
    contestants: introduce(contestants),
    // In the first round servers are compiled, and note what they find out about messages.
    rows: await contest(contestants, imapWorkloads(options), { ...options, warmupRounds: 1 }),
    idle: await idleMemory(contestants, {
      connections: idleConnections,
      load: (server) => ({ url: urlOf(server, domains.cheap), ...behindBalancer, users }),
      onProgress: options.onProgress,
    }),
  }
}

export function renderImap(report: ImapReport): string {
  const { rows, setting: where, options } = report
  const names = [...new Set(rows.map(({ workload }) => workload))]
  return [
    `IMAP, ${where.date}, commit ${where.commit}`,
    `Node ${where.node}, ${where.cores} × ${where.cpu}`,
    `${options.rounds} alternating rounds of ${options.seconds} s, ${options.connections} sessions at a time of ${options.users} users with ${options.messages} messages each`,
    'Medians of the rounds, in brackets the least and the most; ratios within each round, above 1 is better than Dovecot\n',
    ...names.map((name) => `${renderWorkload(name, rows, reference)}\n`),
    renderIdle('sessions in IDLE, INBOX selected', report.idle),
    '',
    ...renderIntroduced(report.contestants),
    '',
  ].join('\n')
}

/** `select, 5 fetch-envelope, noop`: the kinds in the order in which each comes first. */
function inWords(mix: readonly ImapOperation[]): string {
  return [...new Set(mix)]
    .map((kind) => {
      const times = mix.filter((each) => each === kind).length
      return times === 1 ? kind : `${times} ${kind}`
    })
    .join(', ')
}

function urlOf({ port }: Running, domain: string): string {
  return `imap://${encodeURIComponent(`user@${domain}`)}:${encodeURIComponent(password)}@127.0.0.1:${port}`
}

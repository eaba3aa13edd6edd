// Many clients at once on the same mailboxes, over two workers: no client is ever told a contradiction, and in the end
// all of them agree. Twelve seconds by default; POSTERN_STRESS_SECONDS=600 is a long run, and judges memory too.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { makeCertificate } from '../kit/certificates.ts'
import { listener } from '../kit/configuration.ts'
import { temporaryFolder } from '../kit/folder.ts'
import { ann, startGateway, type Gateway } from '../kit/gateway.ts'
import { BelievingSession, numbersOf, type ToldMessage } from '../kit/imap-session.ts'
import { freePorts } from '../kit/ports.ts'
import { randomOf } from '../kit/random.ts'

const seconds = Number(process.env['POSTERN_STRESS_SECONDS'] ?? 12)
const clients = Number(process.env['POSTERN_STRESS_CLIENTS'] ?? 50)
/** A run is repeated by its seed, as far as the machine allows. */
const seed = Number(process.env['POSTERN_STRESS_SEED'] ?? Date.now() % 1_000_000)
/** Memory is looked at as often as this. */
const everyMs = Math.max(2_000, (seconds * 1_000) / 30)
/** Into a mailbox of so many messages no more come: before long, workers hold about as many of them all the time. */
const manyMessages = 400
const mailboxes = ['INBOX', 'Shared', 'Archive'] as const
type Name = (typeof mailboxes)[number]

const ports = await freePorts('admin', 'imaps')
const heaps = temporaryFolder('heaps')
let gateway: Gateway

beforeAll(async () => {
  const { cert, key } = await makeCertificate()
  gateway = await startGateway({
    config: [
      listener('imaps', { protocol: 'imap', bind: ports.imaps, tls: 'implicit', mode: 'off' }),
      `[tls]\ncertificates = [{ cert = "${cert}", key = "${key}" }]`,
      '[limits]\npassword-checks-waiting = 1000',
    ].join('\n\n'),
    adminPort: ports.admin,
    under: [
      'env',
      `POSTERN_HEAPS_IN=${heaps}`,
      `POSTERN_HEAPS_EVERY_MS=${everyMs}`,
      `NODE_OPTIONS=--expose-gc --import=${new URL('../kit/heap-inside.ts', import.meta.url).href}`,
    ],
  })
})
afterAll(async () => {
  await gateway?.stop()
})

/** How many messages each mailbox had when a client last looked. */
const sizes = new Map<Name, number>()

/** Answers of NO, and how often each was given. */
const refusals = new Map<string, number>()

/** What all clients together were told of one mailbox. Whatever two of them were told must be one truth. */
class Truth {
  readonly #subjects = new Map<number, string>()
  /** UID and modification sequence to flags. */
  readonly #states = new Map<string, string>()
  readonly #latest = new Map<number, { readonly modseq: bigint; readonly flags: string }>()
  readonly #gone = new Set<number>()

  learn({ uid, flags, modseq, subject }: ToldMessage): void {
    if (uid === undefined) return
    if (subject !== undefined) {
      const known = this.#subjects.get(uid)
      if (known !== undefined && known !== subject) throw new Error(`UID ${uid} is ${known} and ${subject}`)
      this.#subjects.set(uid, subject)
    }
    if (flags === undefined || modseq === undefined) return
    const text = flags.toSorted((a, b) => (a < b ? -1 : 1)).join(' ')
    const known = this.#states.get(`${uid} ${modseq}`)
    if (known !== undefined && known !== text) throw new Error(`UID ${uid} at ${modseq} has (${known}) and (${text})`)
    this.#states.set(`${uid} ${modseq}`, text)
    const latest = this.#latest.get(uid)
    if (latest === undefined || modseq > latest.modseq) this.#latest.set(uid, { modseq, flags: text })
  }

  remove(uid: number): void {
    this.#gone.add(uid)
  }

  /** What is there in the end: nothing that was told gone, and nothing older than what was told. */
  settle(messages: readonly ToldMessage[]): void {
    for (const { uid = 0, flags = [], modseq = 0n } of messages) {
      if (this.#gone.has(uid)) throw new Error(`UID ${uid} came back`)
      const latest = this.#latest.get(uid)
      if (latest !== undefined && latest.modseq > modseq) throw new Error(`UID ${uid} fell back to ${modseq}`)
      this.learn({ number: 0, uid, flags, modseq })
    }
    const left = new Set(messages.map(({ uid }) => uid))
    for (const uid of this.#latest.keys()) {
      if (!left.has(uid) && !this.#gone.has(uid)) throw new Error(`UID ${uid} is gone, and nobody was told`)
    }
  }
}

/** What a client keeps of a mailbox while it is elsewhere. */
interface Kept {
  readonly uidValidity: string
  readonly modseq: bigint
  readonly flags: ReadonlyMap<number, string>
}

class Client {
  readonly #session: BelievingSession
  readonly #random: () => number
  readonly #truths: ReadonlyMap<Name, Truth>
  readonly #kept = new Map<Name, Kept>()
  readonly #name: string
  #selected: Name = 'INBOX'
  /** Messages told by the command that runs. */
  #told: ToldMessage[] = []
  commands = 0

  constructor(session: BelievingSession, number: number, truths: ReadonlyMap<Name, Truth>) {
    this.#session = session
    this.#name = `client-${number}`
    this.#random = randomOf(seed + number)
    this.#truths = truths
    session.onFetch = (message) => {
      this.#told.push(message)
      this.#truth.learn(message)
    }
    session.onGone = (uid) => this.#truth.remove(uid)
  }

  get #truth(): Truth {
    return this.#truths.get(this.#selected)!
  }

  async run(until: number): Promise<void> {
    await this.#ask('ENABLE QRESYNC')
    await this.select('INBOX')
    while (performance.now() < until) await this.#step()
  }

  async finish(): Promise<ReadonlyMap<Name, readonly ToldMessage[]>> {
    const all = new Map<Name, readonly ToldMessage[]>()
    for (const name of mailboxes) {
      await this.select(name)
      await this.#ask('UID FETCH 1:* (FLAGS MODSEQ)')
      all.set(name, this.#told)
    }
    return all
  }

  /** Resynchronizes with what was kept, and checks that it brought all there was to bring. */
  async select(name: Name): Promise<void> {
    const kept = this.#kept.get(name)
    this.#selected = name
    const known = kept === undefined ? '(CONDSTORE)' : `(QRESYNC (${kept.uidValidity} ${kept.modseq}))`
    const { untagged } = await this.#ask(`SELECT ${name} ${known}`)
    const text = untagged.join('\n')
    const uidValidity = /\[UIDVALIDITY (\d+)\]/.exec(text)?.[1] ?? ''
    const modseq = BigInt(/\[HIGHESTMODSEQ (\d+)\]/.exec(text)?.[1] ?? 0)
    if (kept !== undefined && kept.uidValidity !== uidValidity) throw new Error(`${name}: UIDVALIDITY ${uidValidity}`)
    if (kept !== undefined && kept.modseq > modseq) throw new Error(`${name}: HIGHESTMODSEQ fell to ${modseq}`)
    const believed = new Map(kept?.flags)
    for (const line of untagged) {
      const gone = /^VANISHED \(EARLIER\) (\S+)$/.exec(line)?.[1]
      for (const uid of gone === undefined ? [] : numbersOf(gone)) {
        believed.delete(uid)
        this.#truth.remove(uid)
      }
    }
    for (const { uid = 0, flags } of this.#told) if (flags !== undefined) believed.set(uid, textOf(flags))
    await this.#ask('UID FETCH 1:* (FLAGS MODSEQ)')
    const now = new Map<number, string>()
    for (const message of this.#told) {
      const { uid = 0, flags = [] } = message
      now.set(uid, textOf(flags))
      const old = believed.get(uid)
      // What changed since is told with a higher number; the rest must be as it was brought.
      if (kept !== undefined && (message.modseq ?? 0n) <= modseq && old !== textOf(flags)) {
        throw new Error(`${name}: UID ${uid} was (${old}) after QRESYNC and is (${textOf(flags)})`)
      }
    }
    this.#kept.set(name, { uidValidity, modseq, flags: new Map([...now].filter(([uid]) => this.#isTold(uid, modseq))) })
  }

  /** Of those that came after SELECT nothing is kept: the next SELECT tells them. */
  #isTold(uid: number, modseq: bigint): boolean {
    return this.#told.some((message) => message.uid === uid && (message.modseq ?? 0n) <= modseq)
  }

  async #step(): Promise<void> {
    const count = this.#session.uids.length
    const uid = this.#session.uids[Math.floor(this.#random() * count)]
    const choice = this.#random()
    sizes.set(this.#selected, count)
    const targets = mailboxes.filter((name) => (sizes.get(name) ?? 0) < manyMessages)
    const others = targets.filter((name) => name !== this.#selected)
    if ((choice < 0.08 && targets.length > 0) || count < 10) {
      const subject = `${this.#name} ${this.commands}`
      await this.#ask(`APPEND ${this.#pick(targets)} (${this.#flags()})`, `Subject: ${subject}\r\n\r\n${subject}\r\n`)
    } else if (choice < 0.14) {
      await this.select(this.#pick(mailboxes))
    } else if (choice < 0.2) {
      await this.#ask('NOOP')
    } else if (choice < 0.23) {
      await this.#session.idle(this.#random() * 200)
    } else if (uid === undefined) {
      await this.#ask('UID FETCH 1:* (FLAGS MODSEQ)')
    } else if (choice < 0.4) {
      await this.#ask(`UID STORE ${uid} ${this.#pick(['+', '-', ''])}FLAGS (${this.#flags()})`)
    } else if (choice < 0.5) {
      const first = 1 + Math.floor(this.#random() * count)
      const change = `${this.#pick(['+', '-'])}FLAGS${this.#pick(['', '.SILENT'])} (${this.#flags()})`
      await this.#ask(`STORE ${first}:${Math.min(count, first + 4)} ${change}`)
    } else if (choice < 0.55) {
      const since = this.#told.find((message) => message.uid === uid)?.modseq ?? 1n
      await this.#ask(`UID STORE ${uid} (UNCHANGEDSINCE ${since}) +FLAGS (${this.#flags()})`)
    } else if (choice < 0.65) {
      await this.#ask(`UID FETCH ${uid} (UID FLAGS MODSEQ BODY.PEEK[HEADER.FIELDS (SUBJECT)])`)
    } else if (choice < 0.7) {
      await this.#ask(`FETCH 1:${count} (UID FLAGS MODSEQ)`)
    } else if (choice < 0.75) {
      await this.#ask(
        this.#pick(['SEARCH FLAGGED', 'UID SEARCH UNSEEN', 'UID SEARCH RETURN (COUNT) ALL', 'SEARCH MODSEQ 1']),
      )
    } else if (choice < 0.8 && targets.length > 0) {
      await this.#ask(`UID COPY ${uid} ${this.#pick(targets)}`)
    } else if (choice < 0.85 && others.length > 0) {
      await this.#ask(`UID MOVE ${uid} ${this.#pick(others)}`)
    } else if (choice < 0.95 && count > 60) {
      await this.#ask(`UID STORE ${uid} +FLAGS.SILENT (\\Deleted)`)
      await this.#ask(`UID EXPUNGE ${uid}`)
    } else {
      await this.#ask(`STATUS ${this.#pick(mailboxes)} (MESSAGES UIDNEXT UNSEEN HIGHESTMODSEQ)`)
    }
  }

  async #ask(command: string, literal?: string): ReturnType<BelievingSession['ask']> {
    this.commands += 1
    this.#told = []
    const answer = await this.#session.ask(command, literal)
    if (answer.status === 'NO') refusals.set(answer.text, (refusals.get(answer.text) ?? 0) + 1)
    return answer
  }

  #pick<T>(choices: readonly T[]): T {
    return choices[Math.floor(this.#random() * choices.length)] as T
  }

  #flags(): string {
    const flags = ['\\Seen', '\\Flagged', '\\Answered', '$Label1', ...Array.from({ length: 40 }, (_, at) => `kw${at}`)]
    return Array.from({ length: Math.floor(this.#random() * 3) }, () => this.#pick(flags)).join(' ')
  }
}

const textOf = (flags: readonly string[]): string => flags.toSorted((a, b) => (a < b ? -1 : 1)).join(' ')

function residentMiB(): number {
  const kib = gateway
    .workers()
    .map((pid) => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]))
  return Math.round(kib.reduce((sum, each) => sum + each, 0) / 1024)
}

/** What the heap of a worker held behind each collection. */
function heapsMiB(pid: number): readonly number[] {
  const lines = readFileSync(join(heaps, `${pid}`), 'utf8')
    .trimEnd()
    .split('\n')
  return lines.map((octets) => Math.round((Number(octets) / 2 ** 20) * 10) / 10)
}

/** Of a part of the run: a collection in the middle of large answers finds more than others. */
function medianOf(values: readonly number[], from: number, to: number): number {
  const part = values.slice(Math.floor(values.length * from), Math.floor(values.length * to)).toSorted((a, b) => a - b)
  return part[Math.floor(part.length / 2)] ?? NaN
}

/**
 * What a heap may hold in the last third of a run, by what it held in the middle one: a tenth more, some 2.5 MiB. V8 compiles
 * a little more all the time, and on a slow machine the mailboxes may not be full yet. A hundred octets kept of each command
 * would be more.
 */
const heapAllowed = (heap: readonly number[]): number => 1.1 * medianOf(heap, 1 / 3, 2 / 3)

test(
  `${clients} clients on shared mailboxes for ${seconds} s: no contradiction, one truth in the end, memory flat`,
  async () => {
    const setUp = await BelievingSession.open(ports.imaps, ann.name, ann.password)
    for (const name of mailboxes.slice(1)) await setUp.ask(`CREATE ${name}`)
    const truths = new Map(mailboxes.map((name) => [name, new Truth()]))
    const crowd: Client[] = []
    for (let number = 0; number < clients; number++) {
      crowd.push(new Client(await BelievingSession.open(ports.imaps, ann.name, ann.password), number, truths))
    }
    const begun = performance.now()
    const memory: number[] = []
    const meter = setInterval(() => memory.push(residentMiB()), everyMs)
    try {
      await Promise.all(crowd.map((client) => client.run(begun + seconds * 1_000)))
    } finally {
      clearInterval(meter)
    }
    const took = (performance.now() - begun) / 1_000
    const heapsOfWorkers = gateway.workers().map(heapsMiB)
    const ends = await Promise.all(crowd.map((client) => client.finish()))
    for (const name of mailboxes) {
      const views = ends.map((end) =>
        end.get(name)?.map(({ uid, flags = [], modseq }) => `${uid} (${textOf(flags)}) ${modseq}`),
      )
      for (const view of views) expect(view).toEqual(views[0])
      truths.get(name)?.settle(ends[0]?.get(name) ?? [])
    }
    await setUp.close()
    const commands = crowd.reduce((sum, client) => sum + client.commands, 0)
    const left = mailboxes.map((name) => ends[0]?.get(name)?.length ?? 0)
    process.stdout.write(
      `seed ${seed}: ${commands} commands in ${took.toFixed(0)} s, ${Math.round(commands / took)} a second; ` +
        `messages in the end: ${left.join(' ')}\n` +
        [...refusals].map(([text, count]) => `NO ${text}: ${count} times\n`).join('') +
        `memory of the workers, MiB: ${memory.join(' ')}\n` +
        heapsOfWorkers
          .map(
            (heap) =>
              `heap of a worker behind collections, MiB: ${heap.join(' ')}; ` +
              `middle third ${medianOf(heap, 1 / 3, 2 / 3)}, last ${medianOf(heap, 2 / 3, 1)}\n`,
          )
          .join(''),
    )
    expect(commands).toBeGreaterThan(clients * 5)
    // A short run has only just warmed up.
    if (seconds < 300) return
    expect(memory.at(-1)).toBeLessThan(1.25 * (memory[Math.floor(memory.length / 2)] ?? 0))
    for (const heap of heapsOfWorkers) expect(medianOf(heap, 2 / 3, 1)).toBeLessThan(heapAllowed(heap))
  },
  (seconds + 120) * 1_000,
)

import { readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { Challenges } from '../../src/acme/challenges.ts'
import type { AcmeFailure } from '../../src/acme/failure.ts'
import { CertificateKeeper } from '../../src/acme/keeper.ts'
import type { OrderOutcome } from '../../src/acme/order.ts'
import { makeSelfSignedCertificate } from '../../src/certificate/self-signed.ts'
import type { AcmeConfig } from '../../src/config/schema.ts'
import { limits } from '../../src/limits.ts'
import { temporaryDirectory } from '../config/temporary-directory.ts'

const dayMs = 86_400_000
const minuteMs = 60_000
const failure: AcmeFailure = { reason: 'challenge', cause: 'mx.example.org: connection: refused', mend: 'open port 80' }

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance', 'Date'] })
})
afterEach(() => {
  vi.useRealTimers()
})

async function configIn(folder: string, more: Partial<AcmeConfig> = {}): Promise<AcmeConfig> {
  return {
    names: ['mx.example.org'],
    directory: 'https://acme.example/directory',
    folder: join(folder, 'acme'),
    keyType: 'ecdsa',
    renewBeforeMs: 30 * dayMs,
    ...more,
  }
}

async function certificateFor([hostname = '', ...otherNames]: readonly string[], validDays: number): Promise<string> {
  const { cert, key } = await makeSelfSignedCertificate({ hostname, otherNames, notBefore: new Date(), validDays })
  return `${cert}${key}`
}

async function issue({ names }: AcmeConfig): Promise<OrderOutcome> {
  return { ok: true, pem: await certificateFor(names, 90) }
}

/** An authority that answers what it is told to; by default a certificate for 90 days. */
function authority() {
  const orders: AcmeConfig[] = []
  const told: string[] = []
  let answers: (config: AcmeConfig) => Promise<OrderOutcome> = issue
  const keeper = new CertificateKeeper(
    new Challenges(),
    {
      obtained: (names) => told.push(`obtained ${names.join(' ')}`),
      failed: (_, { reason }, inARow, retryMs) =>
        told.push(`failed ${reason} ${inARow}, again in ${retryMs / minuteMs}`),
    },
    (config) => {
      orders.push(config)
      return answers(config)
    },
  )
  return {
    keeper,
    orders,
    told,
    answer: (next: typeof answers) => {
      answers = next
    },
    /** Lets time pass, and what it began come to its end: files are read and written for real. */
    pass: async (ms: number): Promise<void> => {
      await vi.advanceTimersByTimeAsync(ms)
      while (!keeper.isAtRest) await nextTurn()
    },
  }
}

describe('when a certificate is ordered', () => {
  test('at once when there is none; then the files are there, for nobody else to read', async () => {
    const config = await configIn(await temporaryDirectory())
    const { keeper, orders, told, pass } = authority()
    keeper.use(config)
    await pass(0)
    expect(orders).toEqual([])
    keeper.run()
    await pass(0)
    expect(told).toEqual(['obtained mx.example.org'])
    for (const name of ['account.pem', 'certificate.pem']) {
      expect((await stat(join(config.folder, name))).mode & 0o777).toBe(0o600)
    }
    expect((await stat(config.folder)).mode & 0o777).toBe(0o700)
    expect(await readFile(join(config.folder, 'certificate.pem'), 'utf8')).toMatch(
      /^Ordered by Postern from https:\/\/acme\.example\/directory\n-----BEGIN CERTIFICATE/,
    )
    keeper.stop()
  })

  test('again 30 days before its end, however seldom somebody looks, and by the same account', async () => {
    const config = await configIn(await temporaryDirectory())
    const { keeper, told, pass } = authority()
    keeper.use(config)
    keeper.run()
    await pass(0)
    const account = await readFile(join(config.folder, 'account.pem'), 'utf8')
    expect(keeper.status?.nextAt).toBeGreaterThan(Date.now() + 59 * dayMs)
    for (let hour = 0; hour < 25; hour++) await pass(limits.acmeLookMs)
    // Most of it asleep, as a machine may be: its timers have not moved.
    const began = Date.now()
    vi.setSystemTime(began + 58 * dayMs)
    await pass(limits.acmeLookMs)
    expect(told).toHaveLength(1)
    vi.setSystemTime(began + 60 * dayMs)
    await pass(limits.acmeLookMs)
    expect(told).toEqual(['obtained mx.example.org', 'obtained mx.example.org'])
    expect(await readFile(join(config.folder, 'account.pem'), 'utf8')).toBe(account)
    keeper.stop()
  })

  test.each<[string, Partial<AcmeConfig>, number]>([
    ['a third of a short life, and not thirty days, ahead of its end', {}, 4],
    ['as long ahead as is configured, when that is less', { renewBeforeMs: dayMs }, 5],
  ])('%s', async (_, more, afterDays) => {
    const config = await configIn(await temporaryDirectory(), more)
    const { keeper, told, pass, answer } = authority()
    answer(async ({ names }) => ({ ok: true, pem: await certificateFor(names, 6) }))
    keeper.use(config)
    keeper.run()
    await pass(0)
    for (let hour = 0; hour < 26; hour++) await pass(limits.acmeLookMs)
    const began = Date.now() - 26 * limits.acmeLookMs
    vi.setSystemTime(began + afterDays * dayMs - 2 * limits.acmeLookMs)
    await pass(limits.acmeLookMs)
    expect(told).toHaveLength(1)
    vi.setSystemTime(began + afterDays * dayMs)
    await pass(limits.acmeLookMs)
    expect(told).toHaveLength(2)
    keeper.stop()
  })

  test.each<[string, Partial<AcmeConfig>, number]>([
    ['a name more', { names: ['mx.example.org', 'imap.example.org'] }, 1],
    ['another authority, as behind a trial with a staging one', { directory: 'https://other.example/directory' }, 1],
    ['nothing of it', { email: 'postmaster@example.org' }, 0],
  ])('a reload changes %s', async (_, more, further) => {
    const config = await configIn(await temporaryDirectory())
    const { keeper, orders, pass } = authority()
    keeper.use(config)
    keeper.run()
    await pass(0)
    keeper.use({ ...config, ...more })
    await pass(limits.minAcmeRetryMs)
    expect(orders).toHaveLength(1 + further)
    keeper.stop()
  })

  test('once a day at most, by a clock that takes each certificate for one that is about to end', async () => {
    const config = await configIn(await temporaryDirectory())
    const { keeper, orders, pass, answer } = authority()
    answer(async ({ names }) => {
      const notBefore = new Date(Date.now() - 80 * dayMs)
      const [hostname = ''] = names
      const { cert, key } = await makeSelfSignedCertificate({ hostname, notBefore, validDays: 90 })
      return { ok: true, pem: `${cert}${key}` }
    })
    keeper.use(config)
    keeper.run()
    await pass(0)
    for (let hour = 0; hour < 23; hour++) {
      keeper.use(config)
      await pass(limits.acmeLookMs)
    }
    expect(orders).toHaveLength(1)
    for (let hour = 0; hour < 2; hour++) await pass(limits.acmeLookMs)
    expect(orders).toHaveLength(2)
    keeper.stop()
  })

  test('a certificate that an operator put there is used until it is due', async () => {
    const config = await configIn(await temporaryDirectory())
    const { keeper, orders, pass } = authority()
    keeper.use(config)
    keeper.run()
    await pass(0)
    await writeFile(join(config.folder, 'certificate.pem'), await certificateFor(config.names, 90))
    await pass(dayMs)
    expect(orders).toHaveLength(1)
    keeper.stop()
  })

  test('a file that is none is replaced', async () => {
    const config = await configIn(await temporaryDirectory())
    const { keeper, told, pass } = authority()
    keeper.use(config)
    keeper.run()
    await pass(0)
    await writeFile(join(config.folder, 'certificate.pem'), 'oops')
    await pass(limits.acmeLookMs)
    expect(told).toHaveLength(2)
    keeper.stop()
  })

  test('nothing, without the table, and behind the end', async () => {
    const config = await configIn(await temporaryDirectory())
    const { keeper, orders, pass } = authority()
    keeper.use(undefined)
    keeper.run()
    await pass(dayMs)
    expect(keeper.status).toBeUndefined()
    keeper.stop()
    keeper.use(config)
    await pass(dayMs)
    expect(orders).toEqual([])
  })
})

describe('when an order fails', () => {
  test('it is tried again ever later, twice a day at last; then all is well again', async () => {
    const config = await configIn(await temporaryDirectory())
    const { keeper, told, pass, answer } = authority()
    answer(() => Promise.resolve({ ok: false, failure }))
    keeper.use(config)
    keeper.run()
    await pass(0)
    for (const minutes of [5, 10, 20, 40, 80, 160, 320, 640, 720, 720]) {
      expect(told.at(-1)).toMatch(new RegExp(`, again in ${minutes}$`))
      // No later look is longer than an hour away, and none of them orders ahead of its time.
      const before = told.length
      for (let left = minutes * minuteMs - 1; left > 0; left -= limits.acmeLookMs) {
        await pass(Math.min(left, limits.acmeLookMs))
      }
      expect(told).toHaveLength(before)
      await pass(1)
      expect(told).toHaveLength(before + 1)
    }
    expect(keeper.status?.failure).toMatchObject({ reason: 'challenge', inARow: 11, mend: 'open port 80' })
    answer(issue)
    await pass(limits.minAcmeRetryMs)
    keeper.use(config)
    await pass(0)
    expect(told.at(-1)).toBe('obtained mx.example.org')
    expect(keeper.status?.failure).toBeUndefined()
    keeper.stop()
  })

  test('an operator who mends the cause reloads, and need not wait; one who reloads every second asks once a minute', async () => {
    const config = await configIn(await temporaryDirectory())
    const { keeper, orders, pass, answer } = authority()
    answer(() => Promise.resolve({ ok: false, failure }))
    keeper.use(config)
    keeper.run()
    await pass(0)
    for (let second = 0; second < 120; second++) {
      keeper.use(config)
      await pass(1000)
    }
    expect(orders).toHaveLength(3)
    keeper.stop()
  })

  test('an authority that wants fewer orders is not asked sooner than it says, whoever reloads', async () => {
    const config = await configIn(await temporaryDirectory())
    const { keeper, orders, told, pass, answer } = authority()
    answer(() =>
      Promise.resolve({ ok: false, failure: { ...failure, reason: 'rate-limited', notBeforeMs: 120 * minuteMs } }),
    )
    keeper.use(config)
    keeper.run()
    await pass(0)
    expect(told).toEqual(['failed rate-limited 1, again in 120'])
    for (let minute = 0; minute < 119; minute++) {
      keeper.use(config)
      await pass(minuteMs)
    }
    expect(orders).toHaveLength(1)
    await pass(2 * minuteMs)
    expect(orders).toHaveLength(2)
    keeper.stop()
  })

  test('an authority that wants none for longer than we wait by ourselves is asked behind that', async () => {
    const config = await configIn(await temporaryDirectory())
    const { keeper, orders, told, pass, answer } = authority()
    const notBeforeMs = 34 * 60 * minuteMs
    answer(() => Promise.resolve({ ok: false, failure: { ...failure, reason: 'rate-limited', notBeforeMs } }))
    keeper.use(config)
    keeper.run()
    await pass(0)
    expect(told).toEqual([`failed rate-limited 1, again in ${34 * 60}`])
    for (let hour = 0; hour < 33; hour++) await pass(limits.acmeLookMs)
    expect(orders).toHaveLength(1)
    await pass(limits.acmeLookMs)
    expect(orders).toHaveLength(2)
    keeper.stop()
  })

  test('a folder that cannot be written is told as that', async () => {
    const folder = await temporaryDirectory()
    await writeFile(join(folder, 'acme'), 'a file, and no folder')
    const { keeper, orders, told, pass } = authority()
    keeper.use(await configIn(folder))
    keeper.run()
    await pass(0)
    expect(orders).toEqual([])
    expect(told).toEqual(['failed system 1, again in 5'])
    expect(keeper.status?.failure?.cause).toMatch(/no directory/)
    keeper.stop()
  })

  test('a configuration that comes while an order is under way is looked at behind it', async () => {
    const config = await configIn(await temporaryDirectory())
    const { keeper, orders, pass, answer } = authority()
    const answering = Promise.withResolvers<OrderOutcome>()
    answer(() => answering.promise)
    keeper.use(config)
    keeper.run()
    await vi.advanceTimersByTimeAsync(0)
    while (orders.length === 0) await nextTurn()
    const more = { ...config, names: ['mx.example.org', 'imap.example.org'] }
    keeper.use(more)
    answer(issue)
    answering.resolve({ ok: true, pem: await certificateFor(config.names, 90) })
    await pass(0)
    await pass(limits.minAcmeRetryMs)
    expect(orders).toEqual([config, more])
    keeper.stop()
  })

  test('what fails of a configuration that is over is not held against the next', async () => {
    const config = await configIn(await temporaryDirectory())
    const { keeper, orders, told, pass, answer } = authority()
    const answering = Promise.withResolvers<OrderOutcome>()
    answer(() => answering.promise)
    keeper.use(config)
    keeper.run()
    await vi.advanceTimersByTimeAsync(0)
    while (orders.length === 0) await nextTurn()
    keeper.use({ ...config, directory: 'https://other.example/directory' })
    answer(issue)
    answering.resolve({ ok: false, failure })
    while (!keeper.isAtRest) await nextTurn()
    await pass(0)
    expect(told).toEqual(['obtained mx.example.org'])
    keeper.stop()
  })
})

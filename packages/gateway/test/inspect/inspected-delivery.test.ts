import type { Delivery, DeliveryReply, Destination, TransactionStart } from '@postern/smtp'
import { describe, expect, test } from 'vitest'
import { inspectedDestination, type Inspection, type InspectionVerdict } from '../../src/inspect/inspected-delivery.ts'

const ok: DeliveryReply = { code: 250, enhanced: '2.0.0', lines: ['OK'] }
const refused: DeliveryReply = { code: 550, enhanced: '5.7.1', lines: ['no'] }
const start = {} as TransactionStart
const route = { to: 'store', account: 'ann' } as const

/** A destination that notes its calls, and a look that decides as it is told. */
function setUp(
  verdict: InspectionVerdict | Error,
  more: { readonly isForEach?: boolean; readonly trouble?: DeliveryReply } = {},
) {
  const calls: string[] = []
  const kept: Buffer[] = []
  const delivery: Delivery = {
    addRecipient: (path) => {
      calls.push(`rcpt ${path}`)
      return path.startsWith('nobody') ? refused : ok
    },
    write: (chunk) => void calls.push(`write ${chunk.toString()}`),
    commit: () => {
      calls.push('commit')
      return ok
    },
    ...(more.isForEach && {
      commitEach: () => {
        calls.push('commitEach')
        return [ok, ok]
      },
    }),
    ...(more.trouble && { trouble: () => more.trouble }),
    abort: () => void calls.push('abort'),
  }
  const destination: Destination = { begin: () => delivery }
  const inspection: Inspection = {
    append: (_, chunk) => void kept.push(Buffer.from(chunk)),
    verdict: () => (verdict instanceof Error ? Promise.reject(verdict) : Promise.resolve(verdict)),
    read: async function* read() {
      for (const chunk of kept) yield await Promise.resolve(chunk)
    },
    release: () => Promise.resolve(void calls.push('release')),
  }
  return { calls, destination: inspectedDestination(destination, () => inspection) }
}

const none = { edits: { onTop: [], removed: new Set<string>() } }

describe('a message that is looked at', () => {
  test('reaches its destination when it is whole, with what was found on top', async () => {
    const { calls, destination } = setUp({ edits: { onTop: ['A: b\r\n'], removed: new Set() } })
    const delivery = await destination.begin(start)
    await delivery.addRecipient('ann@example.org', route)
    await delivery.write(Buffer.from('X: y\r\n\r\n'))
    await delivery.write(Buffer.from('body\r\n'))
    expect(calls).toEqual(['rcpt ann@example.org'])
    expect(await delivery.commit()).toBe(ok)
    expect(calls.slice(1)).toEqual(['write A: b\r\n', 'write X: y\r\n\r\n', 'write body\r\n', 'release', 'commit'])
  })

  test('that is refused is written nowhere, and its delivery is aborted', async () => {
    const { calls, destination } = setUp({ refused })
    const delivery = await destination.begin(start)
    await delivery.write(Buffer.from('x'))
    expect(await delivery.commit()).toBe(refused)
    // As the session does behind a reply that is not 2yz.
    await delivery.abort()
    expect(calls).toEqual(['release', 'abort'])
  })

  test('with a verdict for each recipient: a refusal is one for each that was accepted', async () => {
    const { calls, destination } = setUp({ refused }, { isForEach: true })
    const delivery = await destination.begin(start)
    for (const path of ['ann@example.org', 'nobody@example.org', 'bob@example.org']) {
      await delivery.addRecipient(path, route)
    }
    await delivery.write(Buffer.from('x'))
    expect(await delivery.commitEach?.()).toEqual([refused, refused])
    expect(calls.slice(3)).toEqual(['release', 'abort'])
  })

  test('with a verdict for each recipient: the destination has them', async () => {
    const { destination } = setUp(none, { isForEach: true })
    const delivery = await destination.begin(start)
    await delivery.write(Buffer.from('x'))
    expect(await delivery.commitEach?.()).toEqual([ok, ok])
    expect('commitEach' in (await setUp(none).destination.begin(start))).toBe(false)
  })

  test('that cannot be looked at is a failure, and its spool is let go', async () => {
    const { calls, destination } = setUp(new Error('the disk is full'))
    const delivery = await destination.begin(start)
    await delivery.write(Buffer.from('x'))
    await expect(delivery.commit()).rejects.toThrow('the disk is full')
    await delivery.abort()
    expect(calls).toEqual(['release', 'abort'])
  })

  test('is in trouble where its destination is, so that of several places none gets it', async () => {
    const { destination } = setUp(none, { trouble: refused })
    expect((await destination.begin(start)).trouble?.()).toBe(refused)
    expect((await setUp(none).destination.begin(start)).trouble?.()).toBeUndefined()
  })

  test('nobody looks at others', async () => {
    const delivery = { addRecipient: () => ok, write: () => {}, commit: () => ok, abort: () => {} }
    const destination = inspectedDestination({ begin: () => delivery }, () => undefined)
    expect(await destination.begin(start)).toBe(delivery)
  })
})

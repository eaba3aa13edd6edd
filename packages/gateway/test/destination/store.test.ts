import {
  endpoint,
  identify,
  type MailStore,
  type MessageWriter,
  type StoreOutcome,
  type StoreRefusal,
} from '@postern/core'
import type { TransactionStart } from '@postern/smtp'
import { describe, expect, test } from 'vitest'
import { storeDestination } from '../../src/destination/store.ts'

const transaction: TransactionStart = {
  id: '0123456789abcdef.1',
  takesVerdictForEach: false,
  at: new Date('2026-11-21T12:00:00Z'),
  envelope: {
    reversePath: 'ann@example.org',
    forwardPaths: [],
    isSmtpUtf8: false,
    body: '8BITMIME',
    declaredBytes: 100,
  },
  connection: {
    id: '0123456789abcdef',
    listener: { name: 'mx', protocol: 'smtp', tls: 'off' },
    identity: identify({
      peer: endpoint('203.0.113.7', 40_000),
      local: endpoint('192.0.2.1', 25),
      verdict: { rule: 'absent' },
    }),
    security: { kind: 'cleartext' },
  },
}

type Step = 'deliver' | 'prepare' | 'commit'

/** A store that notes every step, and refuses the one it is told to. */
function notingStore(refusing?: { readonly step: Step; readonly account: string; readonly refusal: StoreRefusal }) {
  const notes: string[] = []
  const content = new Map<string, string>()
  const outcome = <T>(step: Step, account: string, value: T): StoreOutcome<T> => {
    notes.push(`${step} ${account}`)
    return refusing?.step === step && refusing.account === account
      ? { ok: false, refusal: refusing.refusal, detail: 'as told' }
      : { ok: true, value }
  }
  const writer = (account: string): MessageWriter => ({
    write: async (chunk) => {
      content.set(account, (content.get(account) ?? '') + chunk.toString())
    },
    prepare: async () => outcome('prepare', account, undefined),
    commit: async () => outcome('commit', account, undefined),
    abort: async () => {
      notes.push(`abort ${account}`)
    },
  })
  const store: MailStore = {
    openAccount: () => Promise.reject(new Error('not for delivery')),
    deliver: async (account) => outcome('deliver', account, writer(account)),
  }
  return { store, notes, content }
}

/** Delivers one message to these accounts, and aborts when it was not taken, as a session does. */
async function send(store: MailStore, accounts: readonly string[]): Promise<number> {
  const delivery = await storeDestination(store).begin(transaction)
  for (const account of accounts) {
    const reply = await delivery.addRecipient(`${account}@example.org`, { to: 'store', account })
    if (reply.code >= 300) return reply.code
  }
  await delivery.write(Buffer.from('Subject: hello\r\n\r\n'))
  await delivery.write(Buffer.from('body\r\n'))
  const reply = await delivery.commit()
  if (reply.code >= 300) await delivery.abort()
  return reply.code
}

/** What the first recipient is told when the store refuses it. */
const firstReply = async (refusal: StoreRefusal): Promise<unknown> => {
  const { store } = notingStore({ step: 'deliver', account: 'ann', refusal })
  const delivery = await storeDestination(store).begin(transaction)
  return delivery.addRecipient('ann@example.org', { to: 'store', account: 'ann' })
}

describe('delivery into the store', () => {
  test('each account gets the whole message under the reverse-path, and all are synced before the first is linked', async () => {
    const { store, notes, content } = notingStore()
    expect(await send(store, ['ann', 'bob'])).toBe(250)
    expect(notes).toEqual(['deliver ann', 'deliver bob', 'prepare ann', 'prepare bob', 'commit ann', 'commit bob'])
    const message = 'Return-Path: <ann@example.org>\r\nSubject: hello\r\n\r\nbody\r\n'
    expect([...content]).toEqual([
      ['ann', message],
      ['bob', message],
    ])
  })

  test('an account that is named twice gets one copy', async () => {
    const { store, notes } = notingStore()
    expect(await send(store, ['ann', 'ann'])).toBe(250)
    expect(notes).toEqual(['deliver ann', 'prepare ann', 'commit ann'])
  })

  test('a mailbox that an address asks for, and that is not there, is INBOX', async () => {
    const asked: string[] = []
    const { store } = notingStore()
    const choosy: MailStore = {
      ...store,
      deliver: async (account, mailbox, message) => {
        asked.push(mailbox)
        return mailbox === 'INBOX'
          ? store.deliver(account, mailbox, message)
          : { ok: false, refusal: 'no-such-mailbox', detail: 'as told' }
      },
    }
    const delivery = await storeDestination(choosy).begin(transaction)
    const route = { to: 'store', account: 'ann', mailbox: 'Work' } as const
    expect(await delivery.addRecipient('ann+Work@example.org', route)).toMatchObject({ code: 250 })
    expect(asked).toEqual(['Work', 'INBOX'])
    await delivery.abort()
  })

  const refusals = [
    ['ST-02: a full disk', 'no-space', 452],
    ['ST-02: a full quota', 'over-quota', 452],
    ['ST-04: a disk that refuses', 'unavailable', 451],
    ['a limit', 'limit', 451],
    ['a mailbox that vanished', 'no-such-mailbox', 451],
  ] as const
  test.each(refusals)('%s at the first recipient is told there, and temporary', async (_what, refusal, code) => {
    const { store } = notingStore({ step: 'deliver', account: 'ann', refusal })
    expect(await send(store, ['ann'])).toBe(code)
  })

  test.each(refusals)('%s while the second copy is synced: nobody gets the message', async (_what, refusal, code) => {
    const { store, notes } = notingStore({ step: 'prepare', account: 'bob', refusal })
    expect(await send(store, ['ann', 'bob'])).toBe(code)
    expect(notes.slice(2)).toEqual(['prepare ann', 'prepare bob', 'abort ann', 'abort bob'])
  })

  test('a link that fails is temporary: a duplicate is allowed, a loss is not', async () => {
    const { store, notes } = notingStore({ step: 'commit', account: 'bob', refusal: 'unavailable' })
    expect(await send(store, ['ann', 'bob'])).toBe(451)
    expect(notes.slice(-2)).toEqual(['abort ann', 'abort bob'])
  })

  test.each(['prepare', 'commit'] as const)(
    'LMTP: an account whose %s fails, beside others that have it',
    async (step) => {
      const { store, notes } = notingStore({ step, account: 'bob', refusal: 'over-quota' })
      const delivery = await storeDestination(store).begin(transaction)
      for (const account of ['ann', 'bob', 'eve', 'bob']) {
        await delivery.addRecipient(`${account}@example.org`, { to: 'store', account })
      }
      await delivery.write(Buffer.from('body\r\n'))
      const replies = (await delivery.commitEach?.()) ?? []
      expect(replies.map(({ code }) => code)).toEqual([250, 452, 250, 452])
      expect(replies[1]).toMatchObject({ enhanced: '4.2.2', detail: 'bob: as told' })
      expect(notes.filter((note) => /^(?:commit (?:ann|eve)|abort)/.test(note))).toEqual([
        'commit ann',
        'abort bob',
        'commit eve',
      ])
    },
  )

  test('LMTP: what one account throws is no news of another', async () => {
    const { store } = notingStore()
    const broken: MailStore = {
      ...store,
      deliver: async (account, mailbox, message) => {
        const opened = await store.deliver(account, mailbox, message)
        if (!opened.ok || account !== 'bob') return opened
        return { ok: true, value: { ...opened.value, commit: () => Promise.reject(new Error('EIO')) } }
      },
    }
    const delivery = await storeDestination(broken).begin(transaction)
    for (const account of ['ann', 'bob']) await delivery.addRecipient('', { to: 'store', account })
    expect(await delivery.commitEach?.()).toMatchObject([{ code: 250 }, { code: 451, detail: 'EIO' }])
  })

  test('the codes say which disk trouble it is', async () => {
    expect(await firstReply('no-space')).toMatchObject({ code: 452, enhanced: '4.3.1', detail: 'as told' })
    expect(await firstReply('over-quota')).toMatchObject({ code: 452, enhanced: '4.2.2', detail: 'ann: as told' })
    expect(await firstReply('unavailable')).toMatchObject({ code: 451, enhanced: '4.3.0' })
  })
})

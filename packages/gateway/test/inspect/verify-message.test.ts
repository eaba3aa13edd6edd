// RFC 7208, 6376, 7489 and 8617 by the library, and what we make of its results: with a DNS server of the tests.
import { generateKeyPairSync } from 'node:crypto'
import { dkimSign } from 'mailauth'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { objectionToSender } from '../../src/inspect/judgement.ts'
import { MessageAuthentication } from '../../src/inspect/message-authentication.ts'
import verifyMessage, { type VerifiedMessage, type VerifyJob } from '../../src/inspect/verify-message.ts'
import { startStubDns, type StubDns } from '../kit/stub-dns.ts'

const { privateKey, publicKey } = generateKeyPairSync('ed25519')
const publicDer = publicKey.export({ type: 'spki', format: 'der' })
let dns: StubDns

beforeAll(async () => {
  dns = await startStubDns({
    'strict.example': ['TXT v=spf1 ip4:203.0.113.7 -all'],
    '_dmarc.strict.example': ['TXT v=DMARC1; p=reject'],
    's1._domainkey.strict.example': [`TXT v=DKIM1; k=ed25519; p=${publicDer.subarray(-32).toString('base64')}`],
    'lax.example': ['TXT v=spf1 ip4:203.0.113.7 -all'],
    '_dmarc.lax.example': ['TXT v=DMARC1; p=none'],
    'broken.example': ['SERVFAIL'],
    '_dmarc.broken.example': ['SERVFAIL'],
  })
})
afterAll(() => {
  dns?.close()
})

const messageFrom = (domain: string): string =>
  `From: Ann <ann@${domain}>\r\nTo: bob@example.org\r\nSubject: hello\r\nDate: Sat, 28 Nov 2026 08:00:00 +0000\r\nMessage-ID: <1@${domain}>\r\n\r\nHello Bob\r\n`

async function signed(text: string): Promise<string> {
  const key = privateKey.export({ type: 'pkcs8', format: 'pem' })
  // The types of the library want the first of these instead, which gives no signature.
  const options = { signatureData: [{ signingDomain: 'strict.example', selector: 's1', privateKey: key }] }
  const { signatures } = await dkimSign(text, options as unknown as Parameters<typeof dkimSign>[1])
  return signatures + text
}

function jobFor(text: string, ip: string, domain: string): VerifyJob {
  const { port } = new URL(`udp://${dns.address}`)
  return {
    message: { kind: 'bytes', bytes: Buffer.from(text) },
    ip,
    helo: `mx.${domain}`,
    reversePath: `ann@${domain}`,
    authservId: 'mx.example.org',
    dns: { servers: [`127.0.0.1:${port}`], timeoutMs: 20_000, tries: 1 },
  }
}

const home = '203.0.113.7'
const stranger = '198.51.100.9'

describe('what is found', () => {
  test.each<[string, () => Promise<VerifyJob>, Partial<VerifiedMessage>]>([
    [
      'SPF of the client of the connection',
      () => Promise.resolve(jobFor(messageFrom('strict.example'), home, 'strict.example')),
      { spf: 'pass', dkim: 'none', dmarc: 'pass' },
    ],
    [
      'another client: fail, and the domain asks to reject',
      () => Promise.resolve(jobFor(messageFrom('strict.example'), stranger, 'strict.example')),
      { spf: 'fail', dkim: 'none', dmarc: 'fail', dmarcPolicy: 'reject', fromDomain: 'strict.example' },
    ],
    [
      'another client with a signature: forwarded mail',
      async () => jobFor(await signed(messageFrom('strict.example')), stranger, 'strict.example'),
      { spf: 'fail', dkim: 'pass', dmarc: 'pass' },
    ],
    [
      'a signature over what was changed',
      async () =>
        jobFor(
          (await signed(messageFrom('strict.example'))).replace('Hello Bob', 'Hello Eve'),
          stranger,
          'strict.example',
        ),
      { dkim: 'neutral', dmarc: 'fail' },
    ],
    [
      'a domain that asks for nothing',
      () => Promise.resolve(jobFor(messageFrom('lax.example'), stranger, 'lax.example')),
      { spf: 'fail', dmarc: 'fail', dmarcPolicy: 'none' },
    ],
    [
      'a domain whose DNS is broken',
      () => Promise.resolve(jobFor(messageFrom('broken.example'), stranger, 'broken.example')),
      { spf: 'temperror', dmarc: 'temperror' },
    ],
    [
      'a domain that says nothing',
      () => Promise.resolve(jobFor(messageFrom('silent.example'), stranger, 'silent.example')),
      { spf: 'none', dmarc: 'none' },
    ],
  ])('%s', async (_, job, found) => {
    expect(await verifyMessage(await job())).toMatchObject(found)
  })

  test('RFC 8601: the field bears our name and each result, and is one field', async () => {
    const { field } = await verifyMessage(jobFor(messageFrom('strict.example'), home, 'strict.example'))
    expect(field).toMatch(/^Authentication-Results: mx\.example\.org;\r\n/)
    expect(field).toMatch(/spf=pass/)
    expect(field).toMatch(/dmarc=pass/)
    expect(field).toMatch(/^(?:[^\r\n]+\r\n[ \t])*[^\r\n]+\r\n$/)
  })

  test('more signatures than a bound: none counts, and DMARC goes by SPF', async () => {
    const text = await signed(messageFrom('strict.example'))
    const [signature = ''] = /^DKIM-Signature:(?:[^\r\n]|\r\n[ \t])*\r\n/.exec(text) ?? []
    const job = jobFor(signature.repeat(30) + text, stranger, 'strict.example')
    expect(await verifyMessage(job)).toMatchObject({ dkim: 'none', dmarc: 'fail' })
  })

  test.each([
    ['nothing at all', ''],
    ['no header', '\r\nbody\r\n'],
    ['no end of the header', 'From: a@strict.example'],
    ['two authors', 'From: a@strict.example\r\nFrom: b@lax.example\r\n\r\n'],
    ['a signature that is none', 'DKIM-Signature: ;;;=\r\nFrom: a@strict.example\r\n\r\nx'],
    ['octets of all kinds', `From: \xff\xfe@\0\r\nDKIM-Signature: a=\xff\r\n\r\n\x80`],
  ])('%s makes no trouble', async (_, text) => {
    expect(await verifyMessage(jobFor(text, stranger, 'strict.example'))).toMatchObject({ spf: 'fail' })
  })
})

test('it runs in a thread, whose time has an end', async () => {
  const job = jobFor(await signed(messageFrom('strict.example')), home, 'strict.example')
  const authentication = new MessageAuthentication(
    { timeoutMs: 30_000, threads: 1 },
    { ...job.dns, clientNames: false },
  )
  const hurried = new MessageAuthentication({ timeoutMs: 1, threads: 1 }, { ...job.dns, clientNames: false })
  try {
    expect(await authentication.verify(job)).toMatchObject({ spf: 'pass', dkim: 'pass', dmarc: 'pass' })
    await expect(hurried.verify(job)).rejects.toThrow('not known within')
  } finally {
    await authentication.close()
    await hurried.close()
  }
})

describe('what an operator makes of it', () => {
  const verified: VerifiedMessage = {
    spf: 'pass',
    dkim: 'pass',
    dmarc: 'pass',
    arc: 'none',
    dmarcPolicy: 'reject',
    fromDomain: 'strict.example',
    field: '',
  }
  const config = {
    listeners: ['mx'],
    onSpfFail: 'note',
    onDmarcFail: 'reject',
    trustedArcSealers: ['list.example'],
    timeoutMs: 20_000,
    threads: 1,
  } as const
  const strict = { ...config, onSpfFail: 'defer' } as const
  const lax = { ...config, onDmarcFail: 'note' } as const
  test.each<[string, Partial<VerifiedMessage> | string, Parameters<typeof objectionToSender>[1], number | undefined]>([
    ['all is well', {}, config, undefined],
    ['DMARC fails, and the domain asks to reject', { dmarc: 'fail' }, config, 550],
    ['DMARC fails, and the operator only notes', { dmarc: 'fail' }, lax, undefined],
    ['DMARC fails, and the operator defers', { dmarc: 'fail' }, { ...config, onDmarcFail: 'defer' }, 450],
    [
      'DMARC fails, and the domain asks for quarantine',
      { dmarc: 'fail', dmarcPolicy: 'quarantine' },
      config,
      undefined,
    ],
    ['a list that is trusted sealed it', { dmarc: 'fail', arcSealer: 'list.example' }, config, undefined],
    ['anybody sealed it', { dmarc: 'fail', arcSealer: 'evil.example' }, config, 550],
    ['SPF fails alone', { spf: 'fail' }, config, undefined],
    ['SPF fails, and the operator minds', { spf: 'fail' }, strict, 450],
    ['SPF softfails', { spf: 'softfail' }, strict, undefined],
    ['the DNS of the domain is broken', { dmarc: 'temperror' }, config, 451],
    ['it was not known in time', 'late', config, 451],
    ['it was not known in time, and nobody minds', 'late', lax, undefined],
  ])('%s', (_, found, policy, code) => {
    const input = typeof found === 'string' ? { unknown: found } : { ...verified, ...found }
    expect(objectionToSender(input, policy)?.reply.code).toBe(code)
  })
})

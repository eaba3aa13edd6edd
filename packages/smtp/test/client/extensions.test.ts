// What a backend offers decides what is asked of it: DSN, REQUIRETLS, PRDR; and what our own EHLO may offer.
import type { Envelope, RecipientDsnRequest } from '@postern/core'
import { describe, expect, test } from 'vitest'
import { capabilitiesOf, extensionsOf } from '../../src/index.ts'
import { Client, told } from './relaying.ts'
import { ScriptedBackend, tlsFiles } from './scripted-backend.ts'

const greeted = (...extensions: readonly string[]): string => `
  S: 220 mx1.example
  C: EHLO gate.example
  ${['mx1.example', ...extensions].map((line, index, all) => `S: 250${index === all.length - 1 ? ' ' : '-'}${line}`).join('\n')}
`

const underTls = (...extensions: readonly string[]): string => `
  ${greeted('STARTTLS', 'REQUIRETLS')}
  C: STARTTLS
  S: 220 go
  !tls
  C: EHLO gate.example
  ${['mx1.example', ...extensions].map((line, index, all) => `S: 250${index === all.length - 1 ? ' ' : '-'}${line}`).join('\n')}
`

interface VerdictOptions {
  readonly how?: 'DATA' | 'BDAT'
  readonly offers?: readonly string[]
  readonly takesVerdictForEach?: boolean
}

/** Two recipients, and this behind the dot. */
async function verdicts(
  replies: string,
  { how = 'DATA', offers = ['PRDR'], takesVerdictForEach = true }: VerdictOptions = {},
): Promise<{ readonly client: Client; readonly backend: ScriptedBackend; readonly said: readonly string[] }> {
  const asks = takesVerdictForEach && offers.includes('PRDR')
  const message =
    how === 'DATA' ? 'C: DATA\nS: 354 go on\nC: hello\nC: .' : 'C: BDAT 7\nC: hello\nS: 250 OK\nC: BDAT 0 LAST'
  const backend = await ScriptedBackend.start(`
    ${greeted('CHUNKING', ...offers)}
    C: MAIL FROM:<bob@example.com>${asks ? ' PRDR' : ''}
    S: 250 OK
    C: RCPT TO:<ann@example.org>
    S: 250 OK
    C: RCPT TO:<joe@example.org>
    S: 250 OK
    ${message}
    ${replies}
  `)
  const client = new Client([backend], { prefersChunking: how === 'BDAT' }, { takesVerdictForEach })
  await client.recipient('ann@example.org')
  await client.recipient('joe@example.org')
  await client.delivery.write(Buffer.from('hello\r\n'))
  const said = takesVerdictForEach
    ? ((await client.delivery.commitEach?.()) ?? []).map(told)
    : [told(await client.delivery.commit())]
  return { client, backend, said }
}

const offering = (...lines: readonly string[]) => capabilitiesOf({ code: 250, lines: ['mx1.example', ...lines] })

describe('DSN (RFC 3461)', () => {
  test('what the client asked goes on verbatim, pipelined and not', async () => {
    for (const pipelining of [['PIPELINING'], []]) {
      const backend = await ScriptedBackend.start(`
        ${greeted(...pipelining, 'DSN')}
        C: MAIL FROM:<bob@example.com> RET=HDRS ENVID=QQ+2B314159
        ${pipelining.length > 0 ? '' : 'S: 250 OK'}
        C: RCPT TO:<ann@example.org> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;a+2Bb@c.example
        ${pipelining.length > 0 ? 'S: 250 OK' : ''}
        S: 250 OK
        C: RCPT TO:<joe@example.org> NOTIFY=NEVER
        S: 250 OK
        C: RCPT TO:<eve@example.org>
        S: 250 OK
        C: QUIT
        S: 221 bye
      `)
      const client = new Client([backend], {}, { envelope: { dsn: { returns: 'HDRS', envelopeId: 'QQ+2B314159' } } })
      const dsn = { notify: ['SUCCESS', 'DELAY'], originalRecipient: 'rfc822;a+2Bb@c.example' } as const
      expect(await client.recipient('ann@example.org', dsn)).toBe('250 OK')
      expect(await client.recipient('joe@example.org', { notify: ['NEVER'] })).toBe('250 OK')
      expect(await client.recipient('eve@example.org')).toBe('250 OK')
      await client.delivery.abort()
      await backend.ended()
      expect(backend.surprises).toEqual([])
    }
  })

  test('a backend without it: NOTIFY waits for one that has it, all else is left out', async () => {
    const backend = await ScriptedBackend.start(`
      ${greeted('PIPELINING')}
      C: MAIL FROM:<bob@example.com>
      S: 250 OK
      C: RCPT TO:<joe@example.org>
      S: 250 OK
      C: QUIT
      S: 221 bye
    `)
    const client = new Client([backend], {}, { envelope: { dsn: { returns: 'FULL', envelopeId: 'a' } } })
    expect(await client.recipient('ann@example.org', { notify: ['SUCCESS'] })).toMatch(/^451 4\.3\.3 /)
    expect(await client.recipient('joe@example.org', { originalRecipient: 'rfc822;joe@example.org' })).toBe('250 OK')
    expect(await client.recipient('ann@example.org', { notify: ['NEVER'] })).toMatch(/^451 4\.3\.3 /)
    await client.delivery.abort()
    await backend.ended()
    expect(backend.surprises).toEqual([])
  })

  test.each<[string, Partial<Envelope>, RecipientDsnRequest, string]>([
    ['ENVID', { dsn: { envelopeId: 'a SIZE=1' } }, {}, '501 5.1.7'],
    ['ORCPT', {}, { originalRecipient: 'rfc822;a>\r\nRSET' }, '501 5.1.3'],
  ])('%s that would end its parameter goes nowhere', async (_, envelope, dsn, reply) => {
    const client = new Client([await ScriptedBackend.start(greeted('DSN'))], {}, { envelope })
    expect(await client.recipient('ann@example.org', dsn)).toMatch(reply)
    await client.delivery.abort()
  })
})

describe('REQUIRETLS (RFC 8689)', () => {
  const tlsOptions = { ca: tlsFiles.cert, servername: 'localhost' }
  const envelope = { requiresTls: true } as const
  const taken = 'C: MAIL FROM:<bob@example.com> REQUIRETLS\nS: 250 OK\nC: RCPT TO:<ann@example.org>\nS: 250 OK'
  const bye = 'C: QUIT\nS: 221 bye'

  test.each([
    ['offered under TLS with a proven name', 'starttls', tlsOptions, ['REQUIRETLS'], taken, '250 OK'],
    ['the same where TLS is optional', 'optional', tlsOptions, ['REQUIRETLS'], taken, '250 OK'],
    ['offered in the clear only', 'starttls', tlsOptions, [], '', '550 5.7.30 REQUIRETLS support required'],
    ['offered by whoever it is', 'optional', {}, ['REQUIRETLS'], '', '550 5.7.30 REQUIRETLS support required'],
  ] as const)('%s', async (_, tls, options, extensions, dialogue, reply) => {
    const backend = await ScriptedBackend.start(`${underTls(...extensions)}\n${dialogue}\n${bye}`)
    const client = new Client([backend], { tls, tlsOptions: options }, { envelope })
    expect(await client.recipient()).toBe(reply)
    await client.delivery.abort()
    await backend.ended()
    expect(backend.surprises).toEqual([])
  })

  test('in the clear it goes nowhere, whatever is offered', async () => {
    const backend = await ScriptedBackend.start(`${greeted('REQUIRETLS')}\n${bye}`)
    const client = new Client([backend], {}, { envelope })
    expect(await client.recipient()).toBe('550 5.7.30 REQUIRETLS support required')
    await client.delivery.abort()
    await backend.ended()
    expect(backend.surprises).toEqual([])
  })
})

describe('PRDR', () => {
  test.each<[string, string, readonly string[]]>([
    [
      'a verdict for each',
      'S: 353 go\nS: 250 2.1.5 ann\nS: 550 5.7.1 joe\nS: 250 done',
      ['250 2.1.5 ann', '550 5.7.1 joe'],
    ],
    ['one for all, when the backend has no more to say', 'S: 250 2.0.0 all', ['250 2.0.0 all', '250 2.0.0 all']],
    ['one that refuses all', 'S: 554 5.7.1 spam', ['554 5.7.1 spam', '554 5.7.1 spam']],
    // Exim's client reads it so, too: what is not taken as a whole is not taken for anybody.
    [
      'a whole that is refused behind verdicts that were not',
      'S: 353 go\nS: 250 ann\nS: 550 5.7.1 joe\nS: 451 4.3.0 disk',
      ['451 4.3.0 disk', '550 5.7.1 joe'],
    ],
  ])('%s', async (_, replies, expected) => {
    for (const how of ['DATA', 'BDAT'] as const) {
      const { backend, said } = await verdicts(`${replies}\nC: QUIT\nS: 221 bye`, { how })
      expect(said).toEqual(expected)
      await backend.ended()
      expect(backend.surprises).toEqual([])
    }
  })

  test('BK-04: lost between the verdicts: who was refused stays it, of the others nobody knows', async () => {
    const { client, said } = await verdicts('S: 353 go\nS: 550 5.7.1 ann\nS: 250 2.1.5 joe\n!close')
    expect(said).toEqual(['550 5.7.1 ann', expect.stringMatching(/^451 4\.4\.2 /) as string])
    expect(client.codes).toContain('SMTP_UPSTREAM_IN_DOUBT')
  })

  test.each(['354 go on', '350 hm'])('%s is no verdict, and leaves a doubt', async (reply) => {
    const { client, said } = await verdicts(`S: ${reply}`)
    expect(said).toEqual(Array(2).fill(expect.stringMatching(/^451 4\.4\.2 /)))
    expect(client.codes).toContain('SMTP_UPSTREAM_IN_DOUBT')
  })

  test('a reply too many is a reply to nothing', async () => {
    const { backend } = await verdicts('S: 353 go\nS: 250 ann\nS: 250 joe\nS: 250 done\nS: 250 more')
    await backend.ended()
    // Nothing more is asked of a backend whose replies cannot be paired.
    expect(backend.heard.join('')).not.toContain('QUIT')
  })

  test('353 to a client that did not ask is no verdict', async () => {
    const { client, said } = await verdicts('S: 353 go\nS: 250 ann\nS: 250 joe\nS: 250 done', {
      takesVerdictForEach: false,
    })
    expect(said).toEqual([expect.stringMatching(/^451 /) as string])
    expect(client.codes).toEqual(['SMTP_UPSTREAM_IN_DOUBT'])
  })

  test('where it is not offered it is not asked for, and the one verdict is that of each', async () => {
    const { said, backend } = await verdicts('S: 250 2.0.0 all\nC: QUIT\nS: 221 bye', { offers: [] })
    expect(said).toEqual(['250 2.0.0 all', '250 2.0.0 all'])
    await backend.ended()
    expect(backend.surprises).toEqual([])
  })
})

describe('what a relay to a backend can do', () => {
  const smtp = { protocol: 'smtp', isVerified: false } as const

  test.each([
    ['nothing', [], smtp, []],
    [
      '8BITMIME, SMTPUTF8, DSN, PRDR',
      ['8BITMIME', 'smtputf8', 'DSN', 'PRDR'],
      smtp,
      ['8BITMIME', 'SMTPUTF8', 'DSN', 'PRDR'],
    ],
    ['BINARYMIME needs CHUNKING', ['BINARYMIME'], smtp, []],
    ['BINARYMIME', ['BINARYMIME', 'CHUNKING'], smtp, ['BINARYMIME']],
    ['REQUIRETLS from somebody unproven', ['REQUIRETLS'], smtp, []],
    ['REQUIRETLS', ['REQUIRETLS'], { ...smtp, isVerified: true }, ['REQUIRETLS']],
    ['LMTP has a verdict for each', [], { ...smtp, protocol: 'lmtp' }, ['PRDR']],
  ] as const)('%s', (_, lines, way, extensions) => {
    expect(extensionsOf(offering(...lines), way)).toEqual({ extensions: new Set(extensions) })
  })

  test('SIZE', () => {
    expect(extensionsOf(offering('SIZE 1000'), smtp)).toEqual({ extensions: new Set(), maxMessageBytes: 1_000 })
    expect(extensionsOf(offering('SIZE 0'), smtp)).toEqual({ extensions: new Set() })
  })
})

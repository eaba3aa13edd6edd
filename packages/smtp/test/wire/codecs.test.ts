import { ipv4FromNumber, parseIpAddress, type ConnectionInfo } from '@postern/core'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { encodeReply } from '../../src/index.ts'
import { parseCommand } from '../../src/wire/command.ts'
import { HeaderSection } from '../../src/wire/header-section.ts'
import { parseMailParameters, parseRecipientParameters, type ParameterExtension } from '../../src/wire/params.ts'
import { addressLiteral, receivedField, returnPathField, type Stamp } from '../../src/wire/trace.ts'

const usual: readonly ParameterExtension[] = ['8BITMIME', 'SMTPUTF8']

const readParameters = (text: string, ...more: readonly ParameterExtension[]): unknown => {
  const parameters = parseMailParameters(text, (extension) => [...usual, ...more].includes(extension))
  return parameters.ok ? parameters.value : parameters.code
}

const noneOffered = (): boolean => false

const readRecipientParameters = (
  text: string,
  isSmtpUtf8 = false,
  ...offered: readonly ParameterExtension[]
): unknown => {
  const parameters = parseRecipientParameters(text, (extension) => offered.includes(extension), isSmtpUtf8)
  return parameters.ok ? parameters.value : parameters.code
}

const scanHeader = (chunks: readonly string[]): { hops: number; bytes: number; isOver: boolean } => {
  const section = new HeaderSection({ authservId: 'mx.example', missing: new Map() })
  for (const chunk of chunks) section.pass(Buffer.from(chunk))
  return { hops: section.hops, bytes: section.bytes, isOver: section.isOver }
}

const address = (text: string) => parseIpAddress(text) ?? ipv4FromNumber(0)

describe('parameters of MAIL', () => {
  test.each([
    ['none', '', { declaredBytes: undefined, body: '7BIT', isSmtpUtf8: false }],
    ['all, in any case', ' size=12 Body=8bitmime SmtpUtf8', { declaredBytes: 12, body: '8BITMIME', isSmtpUtf8: true }],
    ['more than one space', '  SIZE=0   BODY=7BIT', { declaredBytes: 0, body: '7BIT', isSmtpUtf8: false }],
  ])('%s', (_, text, value) => expect(readParameters(text)).toMatchObject(value))

  test.each([
    ['SC-06: SIZE=-1', ' SIZE=-1', 'SMTP_PARAMETER_VALUE'],
    ['SC-06: SIZE=abc', ' SIZE=abc', 'SMTP_PARAMETER_VALUE'],
    ['SC-06: SIZE=1e3', ' SIZE=1e3', 'SMTP_PARAMETER_VALUE'],
    ['SC-06: SIZE=0x10', ' SIZE=0x10', 'SMTP_PARAMETER_VALUE'],
    ['SC-06: SIZE of 21 digits', ` SIZE=${'9'.repeat(21)}`, 'SMTP_PARAMETER_VALUE'],
    ['SIZE without a value', ' SIZE', 'SMTP_PARAMETER_VALUE'],
    ['SC-06: FOO=bar', ' FOO=bar', 'SMTP_PARAMETER_UNKNOWN'],
    ['SC-06: __proto__=1', ' __proto__=1', 'SMTP_PARAMETER_SYNTAX'],
    ['JS-01: constructor', ' constructor=1', 'SMTP_PARAMETER_UNKNOWN'],
    ['SC-06: BODY=NONSENSE', ' BODY=NONSENSE', 'SMTP_PARAMETER_VALUE'],
    ['BODY=BINARYMIME without CHUNKING', ' BODY=BINARYMIME', 'SMTP_PARAMETER_VALUE'],
    ['SC-06: SIZE twice', ' SIZE=1 SIZE=1', 'SMTP_PARAMETER_SYNTAX'],
    ['BODY twice', ' BODY=7BIT BODY=8BITMIME', 'SMTP_PARAMETER_SYNTAX'],
    ['SMTPUTF8 twice', ' SMTPUTF8 SMTPUTF8', 'SMTP_PARAMETER_SYNTAX'],
    ['SMTPUTF8 with a value', ' SMTPUTF8=1', 'SMTP_PARAMETER_VALUE'],
    ['SC-07: RET, which is not offered', ' RET=HDRS', 'SMTP_PARAMETER_UNKNOWN'],
    ['SC-07: ENVID of 1000 octets', ` ENVID=${'a'.repeat(1_000)}`, 'SMTP_PARAMETER_UNKNOWN'],
    ['AUTH= where AUTH is not offered', ' AUTH=<>', 'SMTP_PARAMETER_UNKNOWN'],
    ['an equals sign in a value', ' SIZE=1=2', 'SMTP_PARAMETER_SYNTAX'],
    ['no space before it', 'SIZE=1', 'SMTP_PATH'],
  ])('%s', (_, text, code) => expect(readParameters(text)).toBe(code))

  test('AUTH= where AUTH is offered (RFC 4954 §5)', () => {
    expect(readParameters(' AUTH=<>', 'AUTH')).toMatchObject({ body: '7BIT' })
    expect(readParameters(' AUTH=e+3Dmc2@example.org', 'AUTH')).toMatchObject({ body: '7BIT' })
    expect(readParameters(' AUTH=e+3dmc2', 'AUTH')).toBe('SMTP_PARAMETER_VALUE')
    expect(readParameters(' AUTH=<> AUTH=<>', 'AUTH')).toBe('SMTP_PARAMETER_SYNTAX')
  })

  test.each([
    ['none', '', undefined],
    ['SC-07: NOTIFY', ' NOTIFY=NEVER,SUCCESS', 'SMTP_PARAMETER_UNKNOWN'],
    ['SC-07: ORCPT with an encoded CR LF', ' ORCPT=rfc822;a+0D+0Ab', 'SMTP_PARAMETER_UNKNOWN'],
    ['nonsense', ' =', 'SMTP_PARAMETER_SYNTAX'],
    ['no space', 'x', 'SMTP_PATH'],
  ])('of RCPT: %s', (_, text, code) => expect(readRecipientParameters(text)).toBe(code))
})

describe('DSN: parameters of MAIL (RFC 3461)', () => {
  test.each([
    ['RET', ' RET=hdrs', { returns: 'HDRS' }],
    ['the example of section 10.1', ' RET=HDRS ENVID=QQ314159', { returns: 'HDRS', envelopeId: 'QQ314159' }],
    ['ENVID stays as it came', ' ENVID=a+2Bb+3D+20c', { envelopeId: 'a+2Bb+3D+20c' }],
    ['ENVID of 100 octets', ` ENVID=${'a'.repeat(100)}`, { envelopeId: 'a'.repeat(100) }],
    ['none of both', ' SIZE=1', undefined],
  ])('%s', (_, text, dsn) => expect(readParameters(text, 'DSN')).toMatchObject({ dsn }))

  test.each([
    ['RET without a value', ' RET', 'SMTP_PARAMETER_VALUE'],
    ['RET of something else', ' RET=NONE', 'SMTP_PARAMETER_VALUE'],
    ['RET twice', ' RET=FULL RET=FULL', 'SMTP_PARAMETER_SYNTAX'],
    ['ENVID without a value', ' ENVID=', 'SMTP_PARAMETER_SYNTAX'],
    ['ENVID twice', ' ENVID=a envid=b', 'SMTP_PARAMETER_SYNTAX'],
    ['SC-07: ENVID of 1000 octets', ` ENVID=${'a'.repeat(1_000)}`, 'SMTP_PARAMETER_VALUE'],
    ['a lone plus', ' ENVID=a+', 'SMTP_PARAMETER_VALUE'],
    ['a plus with one digit', ' ENVID=a+2', 'SMTP_PARAMETER_VALUE'],
    ['lower-case digits', ' ENVID=a+2b', 'SMTP_PARAMETER_VALUE'],
    ['SC-07: an encoded CR LF', ' ENVID=a+0D+0Ab', 'SMTP_PARAMETER_VALUE'],
    ['SC-07: an encoded NUL', ' ENVID=+00', 'SMTP_PARAMETER_VALUE'],
    ['an encoded DEL', ' ENVID=+7F', 'SMTP_PARAMETER_VALUE'],
    ['an encoded octet that is no ASCII', ' ENVID=+C3+A9', 'SMTP_PARAMETER_VALUE'],
    ['UTF-8', ' ENVID=é', 'SMTP_PARAMETER_VALUE'],
  ])('%s', (_, text, code) => expect(readParameters(text, 'DSN')).toBe(code))
})

describe('DSN: parameters of RCPT (RFC 3461, RFC 6533)', () => {
  test.each([
    ['NEVER', ' NOTIFY=never', { notify: ['NEVER'] }],
    ['conditions in their order', ' NOTIFY=DELAY,success,FAILURE', { notify: ['DELAY', 'SUCCESS', 'FAILURE'] }],
    [
      'the example of section 10.1',
      ' NOTIFY=SUCCESS ORCPT=rfc822;Bob@Example.COM',
      { notify: ['SUCCESS'], originalRecipient: 'rfc822;Bob@Example.COM' },
    ],
    ['ORCPT stays as it came', ' ORCPT=rfc822;a+2Bb@c.example', { originalRecipient: 'rfc822;a+2Bb@c.example' }],
    ['any type of address', ' ORCPT=X-local!x;+20', { originalRecipient: 'X-local!x;+20' }],
    ['ORCPT of 500 octets', ` ORCPT=rfc822;${'a'.repeat(493)}`, { originalRecipient: `rfc822;${'a'.repeat(493)}` }],
    [
      'utf-8-addr-xtext',
      ' ORCPT=utf-8;j\\x{F6}rg@\\x{1F600}.example',
      { originalRecipient: 'utf-8;j\\x{F6}rg@\\x{1F600}.example' },
    ],
  ])('%s', (_, text, dsn) => expect(readRecipientParameters(text, false, 'DSN')).toEqual(dsn))

  test('utf-8-addr-unitext, where MAIL had SMTPUTF8', () => {
    expect(readRecipientParameters(' ORCPT=UTF-8;jörg\\x{2B}x@e.example', true, 'DSN')).toEqual({
      originalRecipient: 'UTF-8;jörg\\x{2B}x@e.example',
    })
    expect(readRecipientParameters(' ORCPT=utf-8;jörg@e.example', false, 'DSN')).toBe('SMTP_PARAMETER_VALUE')
  })

  test.each([
    ['SC-07: NEVER with another', ' NOTIFY=NEVER,SUCCESS'],
    ['NEVER behind another', ' NOTIFY=SUCCESS,NEVER'],
    ['a condition twice', ' NOTIFY=DELAY,DELAY'],
    ['NEVER twice', ' NOTIFY=NEVER,NEVER'],
    ['an unknown condition', ' NOTIFY=ALWAYS'],
    ['nothing between commas', ' NOTIFY=SUCCESS,,DELAY'],
    ['no condition', ' NOTIFY'],
    ['no type of address', ' ORCPT=ann@example.org'],
    ['an empty type', ' ORCPT=;ann@example.org'],
    ['a type that is no atom', ' ORCPT=rf(c822;ann@example.org'],
    ['no address', ' ORCPT=rfc822;'],
    ['ORCPT without a value', ' ORCPT'],
    ['ORCPT of 501 octets', ` ORCPT=rfc822;${'a'.repeat(494)}`],
    ['SC-07: an encoded CR LF', ' ORCPT=rfc822;a+0D+0Ab'],
    ['SC-07: an encoded NUL', ' ORCPT=rfc822;a+00'],
    ['a lone plus', ' ORCPT=rfc822;a+b@example.org'],
    ['UTF-8 in xtext', ' ORCPT=rfc822;jörg@example.org'],
    ['utf-8: an escape of a control', String.raw` ORCPT=utf-8;a\x{0D}\x{0A}b`],
    ['utf-8: an escape of a C1 control', String.raw` ORCPT=utf-8;a\x{85}`],
    ['utf-8: an escape of a surrogate', String.raw` ORCPT=utf-8;a\x{D800}`],
    ['utf-8: an escape of no character', String.raw` ORCPT=utf-8;a\x{110000}`],
    ['utf-8: an escape with a zero too many', String.raw` ORCPT=utf-8;a\x{00E9}`],
    ['utf-8: an escape in lower case', String.raw` ORCPT=utf-8;a\x{e9}`],
    ['utf-8: a backslash', String.raw` ORCPT=utf-8;a\b`],
    ['utf-8: a plus', ' ORCPT=utf-8;a+2B'],
  ])('%s', (_, text) => expect(readRecipientParameters(text, false, 'DSN')).toBe('SMTP_PARAMETER_VALUE'))

  test.each([
    ['NOTIFY twice', ' NOTIFY=DELAY NOTIFY=DELAY', 'SMTP_PARAMETER_SYNTAX'],
    ['RET, which is one of MAIL', ' RET=HDRS', 'SMTP_PARAMETER_UNKNOWN'],
    ['JS-01: constructor', ' constructor=1', 'SMTP_PARAMETER_UNKNOWN'],
  ])('%s', (_, text, code) => expect(readRecipientParameters(text, false, 'DSN')).toBe(code))

  test('no value throws, and none that is taken holds a control, a space or a lone plus', () => {
    const pieces = fc.constantFrom(
      'rfc822;',
      'utf-8;',
      '+0D',
      '+2B',
      '+',
      '=',
      '\\x{0A}',
      '\\x{2B}',
      'a',
      ' ',
      'é',
      ',',
      'NEVER',
      '\r',
    )
    fc.assert(
      fc.property(fc.array(pieces, { maxLength: 8 }), fc.boolean(), (parts, isSmtpUtf8) => {
        const outcome = readRecipientParameters(` ORCPT=${parts.join('')}`, isSmtpUtf8, 'DSN')
        if (typeof outcome === 'string') return
        const { originalRecipient = '' } = outcome as { readonly originalRecipient?: string }
        expect(originalRecipient).not.toMatch(/[\p{Cc}\p{Z}]/u)
        expect(originalRecipient).not.toMatch(/^rfc822;.*(?:\+(?![\dA-F]{2})|\+[01])/)
      }),
      { numRuns: 2_000 },
    )
  })
})

describe('REQUIRETLS and PRDR', () => {
  test.each([
    ['REQUIRETLS (RFC 8689)', ' REQUIRETLS', { requiresTls: true, takesVerdictForEach: false }],
    ['PRDR', ' prdr', { requiresTls: false, takesVerdictForEach: true }],
  ])('%s', (_, text, value) => expect(readParameters(text, 'REQUIRETLS', 'PRDR')).toMatchObject(value))

  test.each([
    ['REQUIRETLS with a value', ' REQUIRETLS=YES', 'SMTP_PARAMETER_VALUE'],
    ['REQUIRETLS twice', ' REQUIRETLS REQUIRETLS', 'SMTP_PARAMETER_SYNTAX'],
    ['PRDR with a value', ' PRDR=1', 'SMTP_PARAMETER_VALUE'],
  ])('%s', (_, text, code) => expect(readParameters(text, 'REQUIRETLS', 'PRDR')).toBe(code))

  test('where they are not offered', () => {
    expect(readParameters(' REQUIRETLS')).toBe('SMTP_TLS_NOT_REQUIRABLE')
    expect(readParameters(' PRDR')).toBe('SMTP_PARAMETER_UNKNOWN')
  })
})

test('where neither 8BITMIME nor SMTPUTF8 is offered, their parameters are unknown', () => {
  expect(parseMailParameters(' BODY=7BIT', noneOffered)).toEqual({ ok: false, code: 'SMTP_PARAMETER_UNKNOWN' })
  expect(parseMailParameters(' SMTPUTF8', noneOffered)).toEqual({ ok: false, code: 'SMTP_PARAMETER_UNKNOWN' })
  expect(parseMailParameters(' SIZE=1', noneOffered)).toMatchObject({ ok: true })
})

describe('command lines', () => {
  test.each([
    ['a verb', 'NOOP', { verb: 'NOOP', argument: '' }],
    ['any case', 'mAiL FROM:<>', { verb: 'MAIL', argument: 'FROM:<>' }],
    ['white space at the end', 'RSET \t ', { verb: 'RSET', argument: '' }],
    ['nothing', '', { verb: '', argument: '' }],
    ['only space', '   ', { verb: '', argument: '' }],
    ['a verb with a digit', 'X1 y', { verb: '', argument: '' }],
    ['__proto__', '__proto__', { verb: '', argument: '' }],
    ['UTF-8', 'VRFY jörg', { verb: 'VRFY', argument: 'jörg' }],
    ['a tab inside', 'NOOP a\tb', { verb: 'NOOP', argument: '', fault: 'SMTP_CONTROL' }],
    ['a NUL', 'NOOP a\0', { verb: 'NOOP', argument: '', fault: 'SMTP_CONTROL' }],
    ['a C1 control', 'NOOP \u0085', { verb: 'NOOP', argument: '', fault: 'SMTP_CONTROL' }],
    ['SC-09: right-to-left override', 'NOOP a\u202eb', { verb: 'NOOP', argument: '', fault: 'SMTP_CONTROL' }],
    ['a line separator', 'NOOP a\u2028b', { verb: 'NOOP', argument: '', fault: 'SMTP_CONTROL' }],
    ['a no-break space', 'NOOP a\u00a0b', { verb: 'NOOP', argument: '', fault: 'SMTP_CONTROL' }],
  ])('%s', (_, text, line) => expect(parseCommand(Buffer.from(text))).toEqual(line))

  test.each([
    ['JS-06: a lone continuation', [0x80]],
    ['JS-06: overlong', [0xc0, 0xaf]],
    ['JS-06: a surrogate', [0xed, 0xa0, 0x80]],
    ['JS-06: FE FF', [0xfe, 0xff]],
  ])('%s is no UTF-8', (_, bytes) => {
    const line = Buffer.concat([Buffer.from('NOOP '), Buffer.from(bytes)])
    expect(parseCommand(line)).toEqual({ verb: 'NOOP', argument: '', fault: 'SMTP_UTF8' })
  })
})

describe('replies', () => {
  test('lines, codes and hyphens (RFC 5321 §4.2, RFC 2034 §4)', () => {
    expect(encodeReply({ code: 250, lines: ['a', 'b'] })).toBe('250-a\r\n250 b\r\n')
    expect(encodeReply({ code: 214, enhanced: '2.0.0', lines: ['a', 'b'] })).toBe('214-2.0.0 a\r\n214 2.0.0 b\r\n')
    expect(encodeReply({ code: 334, lines: [''] })).toBe('334 \r\n')
  })

  test('no words can become a second reply', () => {
    // Of all code points; fast-check's own table of them takes seconds to make.
    const point = fc.integer({ min: 0, max: 0x10_ff_ff }).filter((code) => code < 0xd8_00 || code > 0xdf_ff)
    const anything = fc.array(fc.oneof(point, fc.integer({ min: 0, max: 0xa0 })))
    fc.assert(
      fc.property(anything, (codes) => {
        const text = String.fromCodePoint(...codes)
        const encoded = encodeReply({ code: 550, enhanced: '5.0.0', lines: [text] })
        expect(encoded).toMatch(/^550 5\.0\.0 [^\p{Cc}]*\r\n$/u)
      }),
    )
    expect(encodeReply({ code: 550, lines: ['a\r\n250 b\u2028c'] })).toBe('550 a 250 b c\r\n')
  })
})

describe('the header section', () => {
  const message = 'received: a\r\n b\r\nReceived-SPF: c\r\nRECEIVED: d\r\nX: received:\r\n\r\nReceived: in the body\r\n'

  test('Received fields are counted, and only there', () => {
    expect(scanHeader([message])).toEqual({ hops: 2, bytes: message.indexOf('Received: in'), isOver: true })
  })

  test('however it is cut', () => {
    expect(scanHeader(message.split(''))).toEqual(scanHeader([message]))
    for (let at = 0; at < message.length; at++) {
      expect(scanHeader([message.slice(0, at), message.slice(at)])).toEqual(scanHeader([message]))
    }
  })

  test('a line that begins with CR is not the empty line', () => {
    expect(scanHeader(['\rx: y\r\nReceived: a\r\n'])).toMatchObject({ hops: 1, isOver: false })
    expect(scanHeader(['\n'])).toMatchObject({ isOver: true })
  })
})

describe('trace information (RFC 5321 §4.4)', () => {
  const connection: ConnectionInfo = {
    id: 'x',
    listener: { name: 'mx', protocol: 'smtp', tls: 'starttls' },
    identity: {
      origin: 'direct',
      client: { address: address('203.0.113.7'), port: 1 },
      peer: { address: address('203.0.113.7'), port: 1 },
      destination: { address: address('192.0.2.1'), port: 25 },
      trust: { rule: 'absent' },
    },
    security: { kind: 'cleartext' },
  }
  const stamp: Stamp = {
    connection,
    hello: { verb: 'EHLO', domain: 'client.example' },
    hostname: 'mx.example',
    isAuthenticated: false,
    isSmtpUtf8: false,
    transactionId: 'x-1',
    forwardPaths: ['a@example.org', 'b@example.org'],
    at: new Date('2026-12-01T00:00:00Z'),
  }
  const tls = { kind: 'tls', endedBy: 'gateway', version: 'TLSv1.3', cipher: 'TLS_AES_128_GCM_SHA256' } as const
  const protocolOf = (change: Partial<Stamp>) => / with (\S+)/.exec(receivedField({ ...stamp, ...change }))?.[1]
  const secured = { ...connection, security: tls }

  test('RFC 3848 and RFC 6531 §4.3: the protocol', () => {
    expect(protocolOf({ hello: { verb: 'HELO', domain: 'a' } })).toBe('SMTP')
    expect(protocolOf({})).toBe('ESMTP')
    expect(protocolOf({ isAuthenticated: true })).toBe('ESMTPA')
    expect(protocolOf({ connection: secured })).toBe('ESMTPS')
    expect(protocolOf({ connection: secured, isAuthenticated: true })).toBe('ESMTPSA')
    expect(protocolOf({ isSmtpUtf8: true })).toBe('UTF8SMTP')
    expect(protocolOf({ isSmtpUtf8: true, connection: secured, isAuthenticated: true })).toBe('UTF8SMTPSA')
  })

  test('with several recipients none is named', () => {
    expect(receivedField(stamp)).toBe(
      'Received: from client.example ([203.0.113.7])\r\n\tby mx.example with ESMTP\r\n\tid x-1;\r\n' +
        '\tTue, 01 Dec 2026 00:00:00 +0000\r\n',
    )
  })

  test('W6: TLS that a trusted balancer ended counts, and the balancer is named beside the client', () => {
    const behind: ConnectionInfo = {
      ...connection,
      identity: {
        ...connection.identity,
        origin: 'proxied',
        client: { address: address('2001:db8::7'), port: 1 },
        peer: { address: address('10.0.0.1'), port: 2 },
      },
      security: { ...tls, endedBy: 'proxy', cipher: 'ECDHE)\r\nX: (y' },
    }
    expect(receivedField({ ...stamp, connection: behind })).toBe(
      'Received: from client.example ([IPv6:2001:db8::7])\r\n' +
        '\tby mx.example with ESMTPS (TLSv1.3 ECDHEX y ended by the proxy)\r\n\tid x-1 (via 10.0.0.1);\r\n' +
        '\tTue, 01 Dec 2026 00:00:00 +0000\r\n',
    )
  })

  test('address literals and Return-Path', () => {
    expect(addressLiteral(address('::ffff:192.0.2.1'))).toBe('[192.0.2.1]')
    expect(returnPathField('')).toBe('Return-Path: <>\r\n')
    expect(returnPathField('a@b.example')).toBe('Return-Path: <a@b.example>\r\n')
  })
})

import { parseIpAddress } from '@postern/core'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { announcedAddress, encodeAnnouncement, type AttributeName } from '../../src/wire/announcement.ts'
import { encodeXtext } from '../../src/wire/xtext.ts'

test.each([
  ['plain words stay', 'client.example', 'client.example'],
  ['both ends of xchar', '!~', '!~'],
  ['what xtext itself needs', 'a+b=c', 'a+2Bb+3Dc'],
  ['a blank', 'a b', 'a+20b'],
  ['a line end', 'a\r\nQUIT', 'a+0D+0AQUIT'],
  ['UTF-8, octet by octet', 'é', '+C3+A9'],
])('xtext: %s', (_, text, encoded) => {
  expect(encodeXtext(text)).toBe(encoded)
})

test('xtext: any text survives, and only xchars go out', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), (text) => {
      expect(encodeXtext(text)).toMatch(/^[\x21-\x3c\x3e-\x7e]*$/)
      // With "%" for "+" it is the encoding of URIs.
      const percent = encodeXtext(text).replaceAll('%', '%25').replaceAll('+', '%')
      expect(decodeURIComponent(percent)).toBe(text.toWellFormed())
    }),
  )
})

const all: ReadonlySet<string> = new Set(['HELO', 'PROTO', 'LOGIN', 'NAME', 'PORT', 'ADDR'])

test('the attributes keep their order, and those that were not offered are left out', () => {
  const attributes = [
    { name: 'HELO', value: 'a' },
    { name: 'DESTPORT', value: '25' },
    { name: 'ADDR', value: '192.0.2.1' },
  ] as const
  expect(encodeAnnouncement('XCLIENT', attributes, all, 512)).toEqual(['XCLIENT HELO=a ADDR=192.0.2.1\r\n'])
  expect(encodeAnnouncement('XFORWARD', attributes, new Set(), 512)).toEqual([])
})

test('what is not known is said to be that', () => {
  const attributes = [{ name: 'NAME' }, { name: 'LOGIN', value: '' }] as const
  expect(encodeAnnouncement('XCLIENT', attributes, all, 512)).toEqual([
    'XCLIENT NAME=[UNAVAILABLE] LOGIN=[UNAVAILABLE]\r\n',
  ])
})

test('PO-06: what does not fit into 512 octets goes into another command, ADDR last', () => {
  const value = 'x'.repeat(255)
  const attributes = (['HELO', 'LOGIN', 'NAME', 'ADDR'] as const).map((name) => ({ name, value }))
  const commands = encodeAnnouncement('XCLIENT', attributes, all, 512)
  expect(commands.map((command) => command.length)).toEqual([
    'XCLIENT HELO= \r\n'.length - 1 + 255,
    'XCLIENT LOGIN= \r\n'.length - 1 + 255,
    'XCLIENT NAME= \r\n'.length - 1 + 255,
    'XCLIENT ADDR= \r\n'.length - 1 + 255,
  ])
  expect(commands.at(-1)).toMatch(/ ADDR=x+\r\n$/)
})

test.each([
  ['a HELO of 600 bytes is cut', 'HELO', 'x'.repeat(600), 'x'.repeat(255)],
  ['at a whole character', 'HELO', `${'x'.repeat(250)}é`, 'x'.repeat(250)],
  ['half a login is another login', 'LOGIN', 'x'.repeat(600), '[UNAVAILABLE]'],
  ['half a name is another name', 'NAME', 'x'.repeat(600), '[UNAVAILABLE]'],
] as const)('PO-06: %s', (_, name, value, said) => {
  expect(encodeAnnouncement('XCLIENT', [{ name, value }], all, 512)).toEqual([`XCLIENT ${name}=${said}\r\n`])
})

test('PO-06: no value makes a second command, or one too long', () => {
  const names = fc.constantFrom<AttributeName>('HELO', 'LOGIN', 'NAME', 'ADDR')
  const value = fc.string({
    unit: fc.constantFrom('a', ' ', '+', '=', '\r\n', 'é', '\0', 'xxxxxxxxxx'),
    maxLength: 400,
  })
  fc.assert(
    fc.property(fc.array(fc.record({ name: names, value }), { maxLength: 8 }), (attributes) => {
      for (const command of encodeAnnouncement('XCLIENT', attributes, all, 512)) {
        expect(command).toMatch(/^XCLIENT(?: [A-Z]+=[\x21-\x3c\x3e-\x7e]+)+\r\n$/)
        expect(command.length).toBeLessThanOrEqual(512)
      }
    }),
  )
})

test.each([
  ['192.0.2.1', '192.0.2.1'],
  ['::ffff:192.0.2.1', '192.0.2.1'],
  ['2001:db8::1', 'IPV6:2001:db8::1'],
])('the address %s is written %s', (text, written) => {
  const address = parseIpAddress(text)
  expect(address === undefined ? undefined : announcedAddress(address)).toBe(written)
})

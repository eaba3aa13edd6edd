import fc from 'fast-check'
import { expect, test } from 'vitest'
import { CommandReader } from '../../src/wire/framing.ts'

const bounds = { maxLineBytes: 64, maxCommandBytes: 128, maxSkippedBytes: 256, maxSkippedLiteralBytes: 256 }

type Answer = 'keep' | 'stream' | 'refuse'

/** What comes out when `pieces` go in, literals answered in turn. */
function frames(pieces: readonly string[], answers: readonly Answer[] = []): string[] {
  const reader = new CommandReader(bounds)
  const told: string[] = []
  let answered = 0
  let content = ''
  for (const piece of pieces) {
    const chunk = Buffer.from(piece, 'latin1')
    reader.feed(chunk)
    for (let frame = reader.next(); frame.kind !== 'more'; frame = reader.next()) {
      if (frame.kind === 'literal') {
        told.push(`literal ${frame.bytes}${frame.isSync ? '' : '+'} after ${frame.head}`)
        const answer = answers[answered] ?? 'keep'
        answered += 1
        if (answer === 'keep') reader.keepLiteral()
        else if (answer === 'stream') reader.streamLiteral()
        else reader.refuseLiteral()
      } else if (frame.kind === 'content') {
        content += frame.bytes.toString('latin1')
        if (frame.isLast) told.push(`content ${content}`)
      } else if (frame.kind === 'command' || frame.kind === 'rest') {
        told.push(`${frame.kind} ${frame.text}`)
      } else {
        told.push(frame.kind)
        if (frame.kind === 'lost') return told
        if (frame.kind === 'overlong') reader.skipCommand()
      }
    }
    reader.release()
    chunk.fill(0x21)
  }
  return told
}

const rows: readonly (readonly [name: string, input: string, answers: readonly Answer[], told: readonly string[]])[] = [
  ['two commands in one segment', 'a NOOP\r\nb NOOP\r\n', [], ['command a NOOP', 'command b NOOP']],
  ['a bare LF ends a line', 'a NOOP\n', [], ['command a NOOP']],
  ['a bare CR does not', 'a\rNOOP\r\n', [], ['command a\rNOOP']],
  ['a literal that is kept', 'a X {3}\r\na\r\n y\r\n', [], ['literal 3 after a X ', 'command a X {3}\r\na\r\n y']],
  ['a literal of nothing', 'a X {0+}\r\n\r\n', [], ['literal 0+ after a X ', 'command a X {0+}\r\n']],
  ['a literal in a list', 'a X ({1}\r\nz)\r\n', [], ['literal 1 after a X (', 'command a X ({1}\r\nz)']],
  ['braces in quotes', 'a X "b {3}\r\n', [], ['command a X "b {3}']],
  ['braces in an atom', 'a X b{3}\r\n', [], ['command a X b{3}']],
  ['braces behind an escaped quote', 'a X "\\" {3}\r\n', [], ['command a X "\\" {3}']],
  ['a literal behind quotes', 'a X "b" {1}\r\nz\r\n', [], ['literal 1 after a X "b" ', 'command a X "b" {1}\r\nz']],
  ['a refused literal that waits', 'a X {3}\r\nb NOOP\r\n', ['refuse'], ['literal 3 after a X ', 'command b NOOP']],
  [
    'a refused literal that was sent',
    'a X {8+}\r\nb NOOP\r\n {2+}\r\nzz\r\nc NOOP\r\n',
    ['refuse'],
    ['literal 8+ after a X ', 'skipped', 'command c NOOP'],
  ],
  [
    'a refused literal, and one that waits behind it',
    'a X {2+}\r\nzz {5}\r\nc NOOP\r\n',
    ['refuse'],
    ['literal 2+ after a X ', 'skipped', 'command c NOOP'],
  ],
  [
    'a streamed literal',
    'a X {4}\r\nz\r\nz\r\nc Y\r\n',
    ['stream'],
    ['literal 4 after a X ', 'content z\r\nz', 'rest ', 'command c Y'],
  ],
  [
    'something behind a streamed literal',
    'a X {1}\r\nz more\r\nc Y\r\n',
    ['stream'],
    ['literal 1 after a X ', 'content z', 'rest  more', 'command c Y'],
  ],
  [
    'a streamed literal behind another',
    'a X {1}\r\nz (y) {2+}\r\nww\r\nc Y\r\n',
    ['stream', 'stream'],
    ['literal 1 after a X ', 'content z', 'literal 2+ after  (y) ', 'content zww', 'rest ', 'command c Y'],
  ],
  [
    'a refused literal behind a streamed one',
    'a X {1}\r\nz {9}\r\nc Y\r\n',
    ['stream', 'refuse'],
    ['literal 1 after a X ', 'content z', 'literal 9 after  ', 'command c Y'],
  ],
  ['a literal8', 'a X ~{1+}\r\nz\r\n', [], ['literal 1+ after a X ', 'command a X ~{1+}\r\nz']],
  ['a tilde in an atom', 'a X y~{1}\r\n', [], ['command a X y~{1}']],
  ['a literal whose length is no number', 'a X {0x1}\r\nb Y\r\n', [], ['command a X {0x1}', 'command b Y']],
  ['the same, sent without waiting', 'a X {0x1+}\r\nb Y\r\n', [], ['lost']],
  ['a literal that is too long to skip', 'a X {257+}\r\n', ['refuse'], ['literal 257+ after a X ', 'lost']],
  ['a line that is too long', `a ${'x'.repeat(80)}\r\nb Y\r\n`, [], ['overlong', 'skipped', 'command b Y']],
  ['a line that never ends', `a ${'x'.repeat(400)}`, [], ['overlong', 'lost']],
  [
    'a line that is too long and ends with a literal that was sent',
    `a ${'x'.repeat(80)} {6+}\r\nb Z\r\n\r\n\r\nc Y\r\n`,
    [],
    ['overlong', 'skipped', 'command ', 'command c Y'],
  ],
  [
    'literals count in the whole command',
    `a X {60}\r\n${'x'.repeat(60)} {60}\r\n${'x'.repeat(60)}\r\n`,
    [],
    ['literal 60 after a X ', `literal 60 after a X {60}\r\n${'x'.repeat(60)} `, 'overlong', 'skipped'],
  ],
]

test.for(rows)('%s', ([, input, answers, told]) => {
  expect(frames([input], answers)).toEqual(told)
})

test.for(
  rows.filter(([name]) => !name.includes('too long') && !name.includes('never ends') && !name.includes('whole')),
)('split anywhere: %s', ([, input, answers, told]) => {
  expect(frames(input.split(''), answers)).toEqual(told)
  fc.assert(
    fc.property(fc.array(fc.nat(input.length), { maxLength: 6 }), (cuts) => {
      const ends = [...cuts.toSorted((a, b) => a - b), input.length]
      const pieces = ends.map((end, index) => input.slice(ends[index - 1] ?? 0, end)).filter((piece) => piece !== '')
      expect(frames(pieces, answers)).toEqual(told)
    }),
    { numRuns: 30 },
  )
})

import { randomOf } from '../kit/random.ts'

/** Octets that grammars turn on, and numbers at the edge of their kinds. */
const telling: readonly Buffer[] = [
  ...'\r\n \t\0"\\(){}[]<>@:;,.*%&=?+-~/'.split('').map((char) => Buffer.from(char, 'latin1')),
  ...['\r\n', '\r\n.\r\n', '=?utf-8?Q?', '{1+}\r\n', '__proto__', 'é', '\u2028', '\u212a'].map((text) =>
    Buffer.from(text),
  ),
  ...['0', '65535', '65536', '4294967295', '4294967296', '18446744073709551615'].map((text) => Buffer.from(text)),
  ...[[0], [0xff], [0xff, 0xff], [0, 0], [0x80], [0xc0, 0x80], [0xed, 0xa0, 0x80]].map((bytes) => Buffer.from(bytes)),
]
const maxBytes = 4096

/** Endless inputs, each made of those of the corpus by a few changes. The same seed makes the same ones. */
export function* mutationsOf(corpus: readonly Buffer[], seed: number): Generator<Buffer, never> {
  const random = randomOf(seed)
  const below = (count: number): number => Math.floor(random() * count)
  const pick = (from: readonly Buffer[]): Buffer => from[below(from.length)] ?? Buffer.alloc(0)
  for (;;) {
    let input = pick(corpus)
    for (let changes = 1 + below(4); changes > 0; changes -= 1) {
      const at = below(input.length + 1)
      const until = Math.min(input.length, at + below(16))
      const [before, between, behind] = [input.subarray(0, at), input.subarray(at, until), input.subarray(until)]
      const other = pick(corpus)
      const part = other.subarray(below(other.length + 1)).subarray(0, 1 + below(64))
      const kinds: readonly (readonly Uint8Array[])[] = [
        [before, behind],
        [before, pick(telling), between, behind],
        [before, pick(telling), behind],
        [before, Buffer.from([below(256)]), behind],
        [before, between, between, between, behind],
        [before, part, behind],
        [before],
        [before, ...Array.from({ length: below(64) }, () => between), behind],
      ]
      input = Buffer.concat(kinds[below(kinds.length)] ?? []).subarray(0, maxBytes)
    }
    yield input
  }
}

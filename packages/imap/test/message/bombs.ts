/*
 * Messages that are bombs: small or large texts on which readers of MIME fell, each under the row of the fault matrix that
 * it belongs to. Read here by the codec, and over the wire in test/faults.
 */
const multipart = 'Content-Type: multipart/mixed; boundary=b\r\n\r\n'

const nested = (depth: number, open: (level: number) => string): string =>
  Array.from({ length: depth }, (_, level) => open(level)).join('')

export const bombs: readonly (readonly [name: string, text: () => string])[] = [
  ['MS-01: 100,000 header fields', () => `${'X-A: b\r\n'.repeat(100_000)}\r\n`],
  ['MS-02: 100,000 recipients', () => `To: ${'a@b.example, '.repeat(100_000)}\r\n\r\n`],
  ['MS-03: a header of 2 MiB', () => `Subject: ${'x'.repeat(2_097_152)}\r\n\r\nbody\r\n`],
  ['MS-04: 100,000 folds', () => `Subject: x\r\n${' y\r\n'.repeat(100_000)}\r\n`],
  [
    'MS-05: multipart 3000 deep',
    () => nested(3000, (level) => `Content-Type: multipart/mixed; boundary=b${level}\r\n\r\n--b${level}\r\n`),
  ],
  ['MS-06: 20,000 parts', () => `${multipart}${'--b\r\n\r\nx\r\n'.repeat(20_000)}--b--\r\n`],
  ['MS-07: message/rfc822 2000 deep', () => 'Content-Type: message/rfc822\r\n\r\n'.repeat(2000)],
  ['MS-08: 20,000 parameters', () => `Content-Type: text/plain; ${nested(20_000, (level) => `n*${level}=a;`)}\r\n\r\n`],
  [
    'MS-09: 50,000 nested comments',
    () => `From: ${'('.repeat(50_000)}\r\nContent-Type: text/plain ${'('.repeat(50_000)}\r\n\r\n`,
  ],
  ['MS-10: 50,000 broken quotes', () => `From: ${'"a\\'.repeat(50_000)}\r\n\r\n`],
  ['MS-10: 50,000 broken groups', () => `From: ${'a:b<'.repeat(50_000)}\r\n\r\n`],
  ['MS-11: 20,000 encoded words', () => `Subject: ${'=?utf-8?Q?a?= '.repeat(20_000)}\r\n\r\n`],
  ['MS-11: 20,000 broken encoded words', () => `Subject: ${'=?utf-8?Q?'.repeat(20_000)}\r\n\r\n`],
  [
    'MS-12: 200,000 blanks',
    () =>
      `From:${' '.repeat(200_000)}x\r\nSubject:${' '.repeat(200_000)}\r\nContent-Type: text/plain;${' '.repeat(200_000)}\r\n\r\n`,
  ],
  [
    'MS-13: a boundary of 70,000 dashes',
    () => `Content-Type: multipart/mixed; boundary="${'-'.repeat(70_000)}"\r\n\r\n${'-'.repeat(70_002)}\r\n\r\nx\r\n`,
  ],
  [
    'MS-13: 70,000 lines of dashes',
    () => `Content-Type: multipart/mixed; boundary="${'-'.repeat(60)}"\r\n\r\n${'-----\r\n'.repeat(70_000)}`,
  ],
  [
    'MS-14: fields named like properties',
    () => '__proto__: x\r\nconstructor: y\r\nContent-Type: __proto__/constructor; hasOwnProperty=1\r\n\r\nx',
  ],
  [
    'MS-15: all octets',
    () => `Subject: ${String.fromCharCode(...Array.from({ length: 256 }, (_, octet) => octet))}\r\n\r\nx`,
  ],
  ['MS-16: a line of 4 MiB', () => `Subject: x\r\n\r\n${'x'.repeat(4_194_304)}`],
  ['MS-17: 200,000 dots', () => `Subject: x\r\n\r\n${'.\r\n'.repeat(200_000)}`],
  ['MS-18: 500,000 empty lines', () => `Subject: x\r\n\r\n${'\r\n'.repeat(500_000)}`],
  [
    'MS-19: 50,000 references',
    () => `References: ${'<a@b> '.repeat(50_000)}\r\nIn-Reply-To: ${'<a@b> '.repeat(50_000)}\r\n\r\n`,
  ],
  ['MS-02: 250,000 senders', () => `From: ${'a@b,'.repeat(250_000)}\r\n\r\nx`],
  ['MS-10: 300,000 angles that never close', () => `From: ${'<@,'.repeat(300_000)}\r\n\r\nx`],
  ['MS-02: a domain of 200,000 dots', () => `From: ${'a@ . '.repeat(200_000)}\r\n\r\nx`],
  ['MS-18: 500,000 lines before the first colon', () => `${'a\n'.repeat(500_000)}Subject: x\r\n\r\nx`],
]

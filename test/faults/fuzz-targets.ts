import { parseProxyHeader } from '../../packages/core/src/proxy/parse.ts'
import { decodeBase64 } from '../../packages/core/src/sasl/text.ts'
import { parseConfig } from '../../packages/gateway/src/config/load.ts'
import { limits as imapLimits } from '../../packages/imap/src/limits.ts'
import { parseEnvelope } from '../../packages/imap/src/message/envelope.ts'
import { decodeFieldText } from '../../packages/imap/src/message/encoded-words.ts'
import { StructureScanner } from '../../packages/imap/src/message/structure.ts'
import { parseCommand as parseImapCommand } from '../../packages/imap/src/wire/command.ts'
import { parseFetchItems } from '../../packages/imap/src/wire/fetch-items.ts'
import { decodeMailboxName } from '../../packages/imap/src/wire/mailbox-name.ts'
import { parseSearch } from '../../packages/imap/src/wire/search-keys.ts'
import { parseSequenceSet } from '../../packages/imap/src/wire/sequence-set.ts'
import { Tokens } from '../../packages/imap/src/wire/tokens.ts'
import { limits as smtpLimits, clientLimits } from '../../packages/smtp/src/limits.ts'
import { parseChunkHeader } from '../../packages/smtp/src/wire/bdat.ts'
import { parseCommand } from '../../packages/smtp/src/wire/command.ts'
import { DataDecoder } from '../../packages/smtp/src/wire/data.ts'
import { parseForwardPath, parseReversePath } from '../../packages/smtp/src/wire/path.ts'
import { ReplyReader } from '../../packages/smtp/src/wire/reply-reader.ts'
import { parseXclient } from '../../packages/smtp/src/wire/xclient.ts'

/** Codec to what reads one input of it. It throws when something is wrong with the codec, and never for the input. */
export const targets: Readonly<Record<string, (input: Buffer) => unknown>> = {
  'proxy-header': (input) => {
    const parsed = parseProxyHeader(input)
    if (parsed.status === 'more' && parsed.atLeast <= input.length) throw new Error('asks for what is there')
    // Whatever came behind it, a header is what it was.
    if (parsed.status === 'done' && parseProxyHeader(Buffer.concat([input, input])).status !== 'done') {
      throw new Error('another header with more behind it')
    }
  },
  'smtp-command': (input) => {
    const { argument } = parseCommand(input)
    parseForwardPath(argument, 0, smtpLimits)
    parseReversePath(argument, 0, smtpLimits)
    parseChunkHeader(argument)
    parseXclient(argument)
  },
  'smtp-data': (input) => {
    const whole = contentOf([input])
    const halves = contentOf([input.subarray(0, input.length >> 1), input.subarray(input.length >> 1)])
    if (!whole.equals(halves)) throw new Error('another message when it comes in two pieces')
    const bare = whole.toString('latin1').replaceAll('\r\n', '')
    if (/[\r\n]/.test(bare)) throw new Error('a bare CR or LF')
  },
  'smtp-reply': (input) => {
    const reader = new ReplyReader(clientLimits)
    reader.push(input)
    for (let replies = 0; reader.next().kind === 'reply'; replies += 1) {
      if (replies > input.length) throw new Error('more replies than octets')
    }
  },
  sasl: (input) => decodeBase64(input.toString('latin1')),
  'imap-command': (input) => {
    const text = input.toString('latin1')
    parseImapCommand(text, imapLimits)
    parseFetchItems(new Tokens(text, imapLimits))
    parseSearch(new Tokens(text, imapLimits))
    parseSequenceSet(text, 100)
    decodeMailboxName(text)
  },
  message: (input) => {
    const scanner = new StructureScanner(imapLimits)
    scanner.push(Buffer.from(input.subarray(0, input.length >> 1)))
    scanner.push(Buffer.from(input.subarray(input.length >> 1)))
    scanner.end(input.length)
    const text = input.toString('latin1')
    parseEnvelope(text, { left: imapLimits.maxAddresses })
    decodeFieldText(text)
  },
  configuration: (input) => parseConfig(input.toString('utf8'), { file: 'postern.toml', baseDir: '/nowhere' }),
}

function contentOf(pieces: readonly Buffer[]): Buffer {
  const decoder = new DataDecoder()
  const content = pieces.map((piece) =>
    decoder.isDone ? Buffer.alloc(0) : Buffer.from(decoder.decode(Buffer.from(piece))),
  )
  return Buffer.concat(decoder.isDone ? content : [...content, Buffer.from(decoder.end())])
}

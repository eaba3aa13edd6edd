import { decodeOctets } from './charset.ts'
import type { MessageReader } from './message-reader.ts'
import { parameter } from './parameters.ts'
import type { Part } from './structure.ts'
import { transferDecoder } from './transfer-encoding.ts'

/** RFC 8970 section 3.2: previews should be no longer than 200 characters, and must not be longer than 256. */
const maxCharacters = 200
/** As much of a text as is looked at for them: markup and quotations take room. */
const maxTextBytes = 16_384

/**
 * The beginning of a message's text, on one line (RFC 8970): of its first plain text, or of its first HTML without the
 * markup. Empty when it has neither. Only the start of the message is read.
 */
export async function previewOf(reader: MessageReader): Promise<string> {
  const root = await reader.beginning()
  const part = textPart(root, 'plain') ?? textPart(root, 'html')
  if (part === undefined) return ''
  const decoder = transferDecoder(part.fields.encoding)
  const octets: Buffer[] = []
  const end = Math.min(part.bodyEnd, part.bodyStart + maxTextBytes)
  for await (const chunk of reader.range(part.bodyStart, end)) octets.push(Buffer.from(decoder.push(chunk)))
  octets.push(decoder.end())
  const charset = parameter({ value: '', parameters: part.fields.parameters }, 'charset')
  const text = decodeOctets(Buffer.concat(octets), charset)
  return onOneLine(part.fields.subtype.toLowerCase() === 'html' ? withoutMarkup(text) : withoutQuotations(text))
}

/** Depth first, without recursion; what is attached is not what the sender says. */
function textPart(root: Part, subtype: string): Part | undefined {
  const waiting = [root]
  for (let part = waiting.pop(); part !== undefined; part = waiting.pop()) {
    const { fields } = part
    if (part.children.length > 0) waiting.push(...part.children.toReversed())
    else if (
      fields.type.toLowerCase() === 'text' &&
      fields.subtype.toLowerCase() === subtype &&
      fields.disposition?.value.toLowerCase() !== 'attachment'
    ) {
      return part
    }
  }
  return undefined
}

/** What is answered to says nothing new, unless there is nothing else. */
function withoutQuotations(text: string): string {
  const own = text
    .split('\n')
    .filter((line) => !line.startsWith('>'))
    .join('\n')
  return own.trim() === '' ? text : own
}

/** Elements whose content is no text. */
const silent: ReadonlySet<string> = new Set(['head', 'script', 'style', 'title'])

const entities: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'", nbsp: ' ' }

/** One pass: markup that never ends is the end of the text. */
function withoutMarkup(html: string): string {
  const lower = html.toLowerCase()
  let text = ''
  let at = 0
  for (;;) {
    const open = html.indexOf('<', at)
    text += html.slice(at, open === -1 ? undefined : open)
    if (open === -1) break
    if (html.startsWith('<!--', open)) {
      const end = html.indexOf('-->', open)
      if (end === -1) break
      at = end + 3
      continue
    }
    const close = html.indexOf('>', open)
    if (close === -1) break
    const name = /^[a-z\d]*/.exec(lower.slice(open + 1, open + 12))?.[0] ?? ''
    at = close + 1
    text += ' '
    if (!silent.has(name)) continue
    const end = lower.indexOf(`</${name}`, at)
    if (end === -1) break
    at = end
  }
  return text.replaceAll(/&(?:#(\d{1,7})|#x([\da-f]{1,6})|([a-z]{2,6}));/gi, (all, decimal, hex, name) => {
    if (typeof name === 'string')
      return Object.hasOwn(entities, name.toLowerCase()) ? (entities[name.toLowerCase()] ?? all) : all
    const code = typeof decimal === 'string' ? Number(decimal) : Number.parseInt(String(hex), 16)
    return code > 0 && code <= 0x10_ffff ? String.fromCodePoint(code) : all
  })
}

function onOneLine(text: string): string {
  const line = text
    .replaceAll(/[\s\p{Cc}\u200b\ufeff]+/gu, ' ')
    .toWellFormed()
    .trim()
  return Array.from(line.slice(0, maxCharacters * 2))
    .slice(0, maxCharacters)
    .join('')
    .trimEnd()
}

import { readFileSync } from 'node:fs'
import { join } from 'node:path'

export interface ListenerText {
  readonly protocol: 'smtp' | 'submission' | 'lmtp' | 'imap'
  /** A port of 127.0.0.1, or addresses with ports as they are written. */
  readonly bind: number | readonly string[]
  readonly tls?: 'off' | 'starttls' | 'implicit'
  readonly mode?: 'off' | 'require' | 'mixed' | 'optional'
  readonly trusted?: readonly string[]
  /** Further lines of the listener's `proxy` table. */
  readonly proxy?: string
}

/** The tables of one listener. */
export function listener(name: string, { protocol, bind, tls = 'off', mode, trusted, proxy }: ListenerText): string {
  const addresses = typeof bind === 'number' ? [`127.0.0.1:${bind}`] : bind
  return [
    `[listener.${name}]`,
    `protocol = "${protocol}"`,
    `bind = ${JSON.stringify(addresses)}`,
    `tls = "${tls}"`,
    `[listener.${name}.proxy]`,
    ...(mode === undefined ? [] : [`mode = "${mode}"`]),
    ...(trusted === undefined ? [] : [`trusted-networks = ${JSON.stringify(trusted)}`]),
    ...(proxy === undefined ? [] : [proxy]),
    '',
  ].join('\n')
}

/**
 * A file of `examples/`, with what must differ on this machine put in: ports, addresses, file names. A text that is to
 * be replaced and is not there is an error, so that an example cannot change without its test. What was put in is not
 * looked at again: a port may begin as one of the example does.
 */
export function example(path: string, replacements: Readonly<Record<string, string>>): string {
  const text = readFileSync(join(import.meta.dirname, '../../examples', path), 'utf8')
  for (const from of Object.keys(replacements)) {
    if (!text.includes(from)) throw new Error(`examples/${path} has no ${JSON.stringify(from)}`)
  }
  // Where one begins as another does, the longer is meant.
  const places = Object.keys(replacements).toSorted((a, b) => b.length - a.length)
  const any = new RegExp(places.map((from) => from.replaceAll(/[$()*+.?[\\\]^{|}]/g, String.raw`\$&`)).join('|'), 'g')
  return text.replaceAll(any, (from) => replacements[from] ?? '')
}

/*
 * The attributes of XCLIENT and XFORWARD (Postfix's XCLIENT_README and XFORWARD_README):
 *
 *   attributes       = 1*( SP attribute-name "=" attribute-value )
 *   attribute-value  = xtext (RFC 3461 §4), or [UNAVAILABLE] or [TEMPUNAVAIL] where the front end does not know
 *   address          = IPv4, or "IPV6:" and IPv6; neither with a zone
 *
 * A line is taken whole or not at all.
 */
import { isUtf8 } from 'node:buffer'
import { parseIpAddress, type IpAddress } from '@postern/core'
import { malformed, parsed, type Parsed } from '../errors.ts'
import { isAddressLiteral } from './path.ts'

/** What a front end says of the client that it speaks for. What it does not know is absent. */
export interface AnnouncedClient {
  /** `0.0.0.0` where the front end says that it does not know it. */
  readonly address?: IpAddress
  readonly port?: number
  readonly destination?: IpAddress
  readonly destinationPort?: number
  /** The name of the client, which the front end has verified. */
  readonly name?: string
  readonly hello?: string
  readonly protocol?: 'SMTP' | 'ESMTP'
  /** Who signed in at the front end. */
  readonly login?: string
}

/** The attributes that XCLIENT may have, as EHLO lists them. */
export const xclientAttributes = ['NAME', 'ADDR', 'PORT', 'PROTO', 'HELO', 'LOGIN', 'DESTADDR', 'DESTPORT'] as const
/** The same for XFORWARD. */
export const xforwardAttributes = ['NAME', 'ADDR', 'PORT', 'PROTO', 'HELO', 'IDENT', 'SOURCE'] as const

const attribute = /^([A-Za-z_]+)=((?:[\x21-\x2a\x2c-\x3c\x3e-\x7e]|\+[\dA-F]{2})*)$/
const unknown = /^\[(?:TEMP)?UNAVAIL(?:ABLE)?\]$/i
const control = /\p{Cc}/u
const hostName = /^[\w.-]{1,255}$/
/** In no network that anybody trusts. */
const nobody = parseIpAddress('0.0.0.0')!

export function parseXclient(text: string): Parsed<AnnouncedClient> {
  const attributes = parseAttributes(text, xclientAttributes)
  if (!attributes.ok) return attributes
  const { NAME, ADDR, PORT, PROTO, HELO, LOGIN, DESTADDR, DESTPORT } = attributes.value
  const protocol = PROTO?.toUpperCase()
  const client = {
    // A client of which not even the address is known must not pass for the front end, with its rights.
    ...(ADDR === '' ? { address: nobody } : read('address', ADDR, parseAddress)),
    ...read('port', PORT, parsePort),
    ...read('destination', DESTADDR, parseAddress),
    ...read('destinationPort', DESTPORT, parsePort),
    ...read('name', NAME, (value) => (hostName.test(value) ? value : undefined)),
    ...read('hello', HELO, (value) => (hostName.test(value) || isAddressLiteral(value) ? value : undefined)),
    ...read('protocol', protocol, (value) => (value === 'SMTP' || value === 'ESMTP' ? value : undefined)),
    ...read('login', LOGIN, (value) => value),
  }
  return isReadable(client) ? parsed(client) : malformed('SMTP_ATTRIBUTE')
}

/** What XFORWARD says is for the log alone, so its values are only decoded. */
export function parseXforward(text: string): Parsed<Readonly<Record<string, string>>> {
  const attributes = parseAttributes(text, xforwardAttributes)
  if (!attributes.ok) return attributes
  return parsed(Object.fromEntries(Object.entries(attributes.value).filter(([, value]) => value !== '')))
}

/** Names in capitals; what the front end does not know is empty. */
function parseAttributes<const T extends string>(
  text: string,
  names: readonly T[],
): Parsed<Readonly<Partial<Record<T, string>>>> {
  const values: Partial<Record<T, string>> = {}
  const seen = new Set<string>()
  for (const word of text.split(' ')) {
    if (word === '') continue
    const match = attribute.exec(word)
    const name = names.find((known) => known === match?.[1]?.toUpperCase())
    if (match === null || name === undefined || seen.has(name)) return malformed('SMTP_ATTRIBUTE')
    seen.add(name)
    const value = decodeXtext(match[2] ?? '')
    if (value === undefined) return malformed('SMTP_ATTRIBUTE')
    values[name] = unknown.test(value) ? '' : value
  }
  return seen.size === 0 ? malformed('SMTP_ATTRIBUTE') : parsed(values)
}

/** @param xtext - of which it is known that it is some. */
function decodeXtext(xtext: string): string | undefined {
  const bytes = Buffer.from(
    xtext.replaceAll(/\+(..)/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))),
    'latin1',
  )
  const text = bytes.toString()
  return isUtf8(bytes) && !control.test(text) ? text : undefined
}

/** A known attribute whose value cannot be read spoils the line. */
const unreadable = Symbol('unreadable')

function read<K extends string, T>(
  key: K,
  value: string | undefined,
  parse: (value: string) => T | undefined,
): { readonly [key in K]?: T | typeof unreadable } {
  if (value === undefined || value === '') return {}
  return { [key]: parse(value) ?? unreadable } as { readonly [key in K]: T | typeof unreadable }
}

type Readable<T> = { readonly [K in keyof T]: Exclude<T[K], typeof unreadable> }

function isReadable<T extends object>(client: T): client is T & Readable<T> {
  return !Object.values(client).includes(unreadable)
}

function parseAddress(text: string): IpAddress | undefined {
  const address = parseIpAddress(text.replace(/^IPV6:/i, ''))
  return (address?.family === 6) === /^IPV6:/i.test(text) ? address : undefined
}

function parsePort(text: string): number | undefined {
  return /^\d{1,5}$/.test(text) && Number(text) <= 65_535 ? Number(text) : undefined
}

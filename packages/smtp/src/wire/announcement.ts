/*
 * XCLIENT and XFORWARD, as Postfix describes them (XCLIENT_README, XFORWARD_README):
 *
 *   xclient-command = XCLIENT 1*( SP attribute-name "=" attribute-value )
 *   attribute-value = xtext
 *
 * A value that is not known is `[UNAVAILABLE]`, one that may be known later `[TEMPUNAVAIL]`; an IPv6 address begins with
 * `IPV6:`. A server refuses a command with an attribute that it did not offer as a whole (501), so only what was offered is
 * sent.
 */
import type { IpAddress } from '@postern/core'
import { encodeXtext } from './xtext.ts'

export type AttributeName =
  | 'HELO'
  | 'PROTO'
  | 'LOGIN'
  | 'NAME'
  | 'REVERSE_NAME'
  | 'PORT'
  | 'DESTADDR'
  | 'DESTPORT'
  | 'SESSION'
  | 'DESTNAME'
  | 'IDENT'
  | 'SOURCE'
  | 'ADDR'

export interface Attribute {
  readonly name: AttributeName
  /** Absent when it is not known. */
  readonly value?: string | undefined
  /** Without a value: it could not be found out now. */
  readonly isUnknown?: true | undefined
}

const unavailable = '[UNAVAILABLE]'
const temporarilyUnavailable = '[TEMPUNAVAIL]'
/** Octets of an encoded value. Postfix keeps as many. */
const maxValueBytes = 255

/**
 * The commands for these attributes, in their order, each within `maxBytes`. They are sent one at a time, since XCLIENT
 * may not be pipelined and a server may drop the right to use it once it knows an address.
 */
export function encodeAnnouncement(
  verb: 'XCLIENT' | 'XFORWARD',
  attributes: readonly Attribute[],
  offered: ReadonlySet<string>,
  maxBytes: number,
): string[] {
  const commands: string[] = []
  let line: string = verb
  for (const attribute of attributes) {
    if (!offered.has(attribute.name)) continue
    const word = ` ${attribute.name}=${valueOf(attribute)}`
    if (line !== verb && line.length + word.length + 2 > maxBytes) {
      commands.push(`${line}\r\n`)
      line = verb
    }
    line += word
  }
  if (line !== verb) commands.push(`${line}\r\n`)
  return commands
}

/** As XCLIENT and XFORWARD write addresses, which is not as EHLO does. */
export function announcedAddress(address: IpAddress): string {
  return address.family === 6 ? `IPV6:${address.toString()}` : address.toString()
}

/**
 * What is too long is cut where it only serves the log. Half a login or half a host name is somebody else's, so these
 * are rather not known.
 */
function valueOf({ name, value, isUnknown }: Attribute): string {
  if (value === undefined || value === '') return isUnknown === true ? temporarilyUnavailable : unavailable
  const encoded = encodeXtext(value)
  if (encoded.length <= maxValueBytes) return encoded
  return name === 'HELO' ? cut(value) : unavailable
}

/** At a whole character, so that no half of one is left behind. */
function cut(value: string): string {
  let encoded = ''
  for (const char of value) {
    const longer = encoded + encodeXtext(char)
    if (longer.length > maxValueBytes) break
    encoded = longer
  }
  return encoded
}

import { copyOf } from './casemap.ts'

/**
 * The `msg-id`s of a field (RFC 5322 section 3.6.4), without their angle brackets; words between them belong to nobody.
 * Quotes around the left side are taken away, since the same id is written with and without them (RFC 5256 section 3).
 *
 * @param value - the field, unfolded, one octet in each character.
 * @param max - how many are kept: the last ones, which are the nearest.
 */
export function messageIds(value: string, max: number): string[] {
  const ids: string[] = []
  for (const [, quoted, plain = '', host = ''] of value.matchAll(messageId)) {
    const local = quoted === undefined ? plain : quoted.replaceAll(/\\(.)/g, '$1')
    ids.push(copyOf(`${local}@${host}`.slice(0, maxMessageIdLength)))
    // Now and then, so that a field of nothing else costs no more than its length.
    if (ids.length >= max * 2) ids.splice(0, ids.length - max)
  }
  return ids.slice(-max)
}

/** Longer ones are told apart by their beginning: a line has no more room (RFC 5322 section 2.1.1). */
const maxMessageIdLength = 998

const messageId = /<\s*(?:"((?:[^"\\]|\\.)*)"|([^\s<>@"]+))@([^\s<>@]+)\s*>/g

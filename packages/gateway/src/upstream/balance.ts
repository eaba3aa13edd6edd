/* Which backend of a group comes first. Pure, but for the turns that the rotation remembers in its members. */
import { hash } from 'node:crypto'

/** A backend as balancing sees it. */
export interface Member {
  readonly name: string
  /** What it is called where keys are spread; the same in other groups for the same machine. */
  readonly seat: string
  readonly weight: number
  /** Open connections. */
  readonly connections: number
  /** Where it stands in the rotation. */
  turn: number
}

/**
 * Smooth weighted round robin, as nginx does it: each member gains its share, the richest is taken and pays for all. So
 * weights 5, 1, 1 give a a b a c a a, and not five in a row.
 *
 * @param shareOf - the weight that counts now: less than the configured one while a backend is warming up.
 */
export function rotate<M extends Member>(members: readonly M[], shareOf: (member: M) => number): M[] {
  let total = 0
  for (const member of members) {
    const share = shareOf(member)
    member.turn += share
    total += share
  }
  const order = members.toSorted((a, b) => b.turn - a.turn)
  const [first] = order
  if (first !== undefined) first.turn -= total
  return order
}

/** Who has least to do for its weight comes first; among equals the rotation decides. */
export function byConnections<M extends Member>(members: readonly M[], shareOf: (member: M) => number): M[] {
  return rotate(members, shareOf).toSorted(
    (a, b) => (a.connections + 1) / shareOf(a) - (b.connections + 1) / shareOf(b),
  )
}

/**
 * Weighted rendezvous hashing: the same key goes to the same member as long as that one is there, whoever computes it;
 * and when one goes away, only its keys move, and spread over all others.
 */
export function byKey<M extends Member>(members: readonly M[], key: string): M[] {
  return members
    .map((member) => ({ member, score: -member.weight / Math.log(fractionOf(`${member.seat}\0${key}`)) }))
    .sort((a, b) => b.score - a.score)
    .map(({ member }) => member)
}

/** Between 0 and 1, neither of them. */
function fractionOf(text: string): number {
  const digest = hash('sha256', text, 'hex')
  return (Number.parseInt(digest.slice(0, 12), 16) + 0.5) / 2 ** 48
}

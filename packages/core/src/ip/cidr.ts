import ipaddr from 'ipaddr.js'
import type { IpAddress } from '../contracts/address.ts'
import { wordsOf } from './address.ts'
import { parseIpAddress } from './text.ts'

/** A set of networks, compiled for lookup. Never changed. */
export interface CidrSet {
  /** One of the networks holds the address. */
  has(address: IpAddress): boolean
  /** The most specific network that holds the address, as it was written; the first of equals. */
  find(address: IpAddress): string | undefined
  /** How many networks were given. */
  readonly size: number
}

/** One text that is no network. */
export interface CidrProblem {
  /** Its place in the list, from 0. */
  readonly index: number
  /** The text as it was given. */
  readonly text: string
  /** What would have been right, as a phrase to stand behind “expected”. */
  readonly expected: string
}

/** What `compileCidrSet` made of a list: the set, or every problem with it. */
export type CidrCompilation =
  | { readonly ok: true; readonly set: CidrSet }
  | { readonly ok: false; readonly problems: readonly CidrProblem[] }

/**
 * Compiles networks, when configuration is read. `192.0.2.1` is one host. A network of IPv4-mapped addresses
 * (`::ffff:10.0.0.0/104`) is the IPv4 network, since a mapped peer is folded to IPv4 before it is looked up; so
 * `0.0.0.0/0` holds every IPv4 peer however the socket spells it, and `::/0` holds no IPv4 peer.
 *
 * All problems are told at once.
 */
export function compileCidrSet(networks: readonly string[]): CidrCompilation {
  const parsed: Network[] = []
  const problems: CidrProblem[] = []
  for (const [index, text] of networks.entries()) {
    const network = parseNetwork(text)
    if (typeof network === 'string') problems.push({ index, text, expected: network })
    else parsed.push(network)
  }
  return problems.length === 0 ? { ok: true, set: new CompiledSet(parsed) } : { ok: false, problems }
}

// ── reading ─────────────────────────────────────────────────────────────────

interface Network {
  readonly family: 4 | 6
  readonly text: string
  readonly first: bigint
  readonly last: bigint
}

/** A network, or the words for what was expected instead. */
function parseNetwork(text: string): Network | string {
  if (/[[\]]/.test(text)) return 'an address without brackets'
  if (text.includes('%')) return 'an address without a zone id: a zone means nothing to other machines'
  const [host = '', prefixText, ...more] = text.split('/')
  const address = parseIpAddress(host)
  if (more.length > 0 || address === undefined) {
    return 'an IPv4 or IPv6 address, or a network as in 192.0.2.0/24 or 2001:db8::/32'
  }
  const isIpv6Text = host.includes(':')
  const width = isIpv6Text ? 128 : 32
  if (prefixText !== undefined && !(/^(0|[1-9]\d{0,2})$/.test(prefixText) && Number(prefixText) <= width)) {
    return `a prefix length from 0 to ${width} behind the slash`
  }
  const prefixBits = prefixText === undefined ? width : Number(prefixText)
  const isMapped = isIpv6Text && address.family === 4
  // ipaddr.js takes `::192.0.2.1` for an IPv4-mapped address, so it gets our own spelling of the address.
  const canonical = isMapped ? `::ffff:${address.toString()}` : address.toString()
  const bits = ipaddr
    .parse(canonical)
    .toByteArray()
    .reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n)
  const hostMask = (1n << BigInt(width - prefixBits)) - 1n
  if ((bits & hostMask) !== 0n) {
    const family = isIpv6Text ? ipaddr.IPv6 : ipaddr.IPv4
    const network = family.networkAddressFromCIDR(`${canonical}/${prefixBits}`).toString()
    return `no bits behind the prefix: ${network}/${prefixBits} for the network, ${host} for the one host`
  }
  // A mapped network has at least 96 bits here, or its own ffff would stand behind the prefix.
  const first = isMapped ? bits & 0xffff_ffffn : bits
  return { family: address.family, text, first, last: first | hostMask }
}

// ── lookup ──────────────────────────────────────────────────────────────────

const none = -1

/**
 * Networks nest or are apart, so they cut the number line into intervals that each belong to one most specific network
 * or to none. A lookup is one binary search over the starts of the intervals.
 */
class CompiledSet implements CidrSet {
  readonly size: number
  readonly #texts: readonly string[]
  readonly #v4: Intervals
  readonly #v6: Intervals

  constructor(networks: readonly Network[]) {
    this.size = networks.length
    this.#texts = networks.map((network) => network.text)
    this.#v4 = cutIntervals(networks, 4)
    this.#v6 = cutIntervals(networks, 6)
  }

  has(address: IpAddress): boolean {
    return this.#owner(address) !== none
  }

  find(address: IpAddress): string | undefined {
    return this.#texts[this.#owner(address)]
  }

  #owner(address: IpAddress): number {
    const words = wordsOf(address)
    return words.family === 4
      ? ownerOfIpv4(this.#v4, words.w0 >>> 0)
      : ownerOfIpv6(this.#v6, words.w0 >>> 0, words.w1 >>> 0, words.w2 >>> 0, words.w3 >>> 0)
  }
}

interface Intervals {
  /** Starts in ascending order; one word each for IPv4, four for IPv6. The first is zero. */
  readonly starts: Uint32Array
  /** The index of the network an interval belongs to, or `none`. */
  readonly owners: Int32Array
}

function cutIntervals(networks: readonly Network[], family: 4 | 6): Intervals {
  const ofFamily = networks
    .map((network, index) => ({ ...network, index }))
    .filter((network) => network.family === family)
    // Outer before inner; of equals the first given comes last, and so wins.
    .sort((a, b) => compare(a.first, b.first) || compare(b.last, a.last) || b.index - a.index)
  const cuts = new Map<bigint, number>([[0n, none]])
  const open: { readonly last: bigint; readonly index: number }[] = []
  const closeBefore = (position: bigint): void => {
    for (let inner = open.at(-1); inner !== undefined && inner.last < position; inner = open.at(-1)) {
      open.pop()
      cuts.set(inner.last + 1n, open.at(-1)?.index ?? none)
    }
  }
  for (const network of ofFamily) {
    closeBefore(network.first)
    open.push(network)
    cuts.set(network.first, network.index)
  }
  const beyond = 1n << (family === 4 ? 32n : 128n)
  closeBefore(beyond)
  cuts.delete(beyond)

  const sorted = [...cuts].sort(([a], [b]) => compare(a, b))
  const words = family === 4 ? 1 : 4
  const starts = new Uint32Array(sorted.length * words)
  for (const [row, [start]] of sorted.entries()) {
    for (let word = 0; word < words; word++) {
      starts[row * words + word] = Number((start >> BigInt(32 * (words - 1 - word))) & 0xffff_ffffn)
    }
  }
  return { starts, owners: Int32Array.from(sorted, ([, owner]) => owner) }
}

function compare(a: bigint, b: bigint): number {
  return a < b ? -1 : Number(a > b)
}

function ownerOfIpv4({ starts, owners }: Intervals, w0: number): number {
  let low = 0
  let count = owners.length
  while (count > 1) {
    const half = count >>> 1
    if (starts[low + half]! <= w0) low += half
    count -= half
  }
  return owners[low]!
}

function ownerOfIpv6({ starts, owners }: Intervals, w0: number, w1: number, w2: number, w3: number): number {
  let low = 0
  let count = owners.length
  while (count > 1) {
    const half = count >>> 1
    if (startsAtOrBefore(starts, (low + half) << 2, w0, w1, w2, w3)) low += half
    count -= half
  }
  return owners[low]!
}

function startsAtOrBefore(starts: Uint32Array, at: number, w0: number, w1: number, w2: number, w3: number): boolean {
  if (starts[at] !== w0) return starts[at]! < w0
  if (starts[at + 1] !== w1) return starts[at + 1]! < w1
  if (starts[at + 2] !== w2) return starts[at + 2]! < w2
  return starts[at + 3]! <= w3
}

import { BlockList } from 'node:net'
import { describe, expect, test } from 'vitest'
import fc from 'fast-check'
import ipaddr from 'ipaddr.js'
import { compileCidrSet, ipv4FromNumber, ipv6FromWords, parseIpAddress, type CidrSet } from '@postern/core'

function setOf(...networks: readonly string[]): CidrSet {
  const compiled = compileCidrSet(networks)
  if (!compiled.ok) throw new Error(JSON.stringify(compiled.problems))
  return compiled.set
}

function find(set: CidrSet, text: string): string | undefined {
  const address = parseIpAddress(text)
  if (address === undefined) throw new Error(`no address: ${text}`)
  expect(set.has(address)).toBe(set.find(address) !== undefined)
  return set.find(address)
}

describe('a set of networks', () => {
  test('an empty set holds nobody', () => {
    expect(setOf().size).toBe(0)
    expect(find(setOf(), '0.0.0.0')).toBeUndefined()
    expect(find(setOf(), '::')).toBeUndefined()
  })

  test('a bare address is one host', () => {
    const set = setOf('192.0.2.10', '2001:db8::10')
    expect(find(set, '192.0.2.10')).toBe('192.0.2.10')
    expect(find(set, '192.0.2.9')).toBeUndefined()
    expect(find(set, '192.0.2.11')).toBeUndefined()
    expect(find(set, '2001:db8::10')).toBe('2001:db8::10')
    expect(find(set, '2001:db8::11')).toBeUndefined()
  })

  test('the most specific network speaks, as it was written', () => {
    const set = setOf('10.0.0.0/8', '10.1.0.0/16', '10.1.2.3', '2001:DB8::/32', '2001:db8:1::/48')
    expect(find(set, '10.255.255.255')).toBe('10.0.0.0/8')
    expect(find(set, '10.1.0.0')).toBe('10.1.0.0/16')
    expect(find(set, '10.1.2.3')).toBe('10.1.2.3')
    expect(find(set, '10.1.2.4')).toBe('10.1.0.0/16')
    expect(find(set, '10.2.0.0')).toBe('10.0.0.0/8')
    expect(find(set, '11.0.0.0')).toBeUndefined()
    expect(find(set, '2001:db8:1::1')).toBe('2001:db8:1::/48')
    expect(find(set, '2001:db8:2::1')).toBe('2001:DB8::/32')
  })

  test('of equals the first given speaks', () => {
    expect(find(setOf('10.0.0.1', '10.0.0.1/32'), '10.0.0.1')).toBe('10.0.0.1')
    expect(find(setOf('10.0.0.1/32', '10.0.0.1'), '10.0.0.1')).toBe('10.0.0.1/32')
    expect(setOf('10.0.0.1', '10.0.0.1').size).toBe(2)
  })

  test('IPv6 networks that differ in one word only are told apart', () => {
    const set = setOf('1::1', '1:0:2::1', '1:0:2:0:3::1', '1:0:2:0:3:0:4:1')
    for (const host of ['1::1', '1:0:2::1', '1:0:2:0:3::1', '1:0:2:0:3:0:4:1']) expect(find(set, host)).toBe(host)
    for (const stranger of ['1::', '1::2', '1:0:1::1', '1:0:2:0:2::1', '1:0:2:0:3:0:3:1', '1:0:2:0:3:0:4:2', '2::']) {
      expect(find(set, stranger)).toBeUndefined()
    }
  })

  test('the ends of both number lines are held', () => {
    const set = setOf('255.255.255.255', 'ffff::/16', '0.0.0.0', '::')
    expect(find(set, '255.255.255.255')).toBe('255.255.255.255')
    expect(find(set, 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff')).toBe('ffff::/16')
    expect(find(set, '0.0.0.0')).toBe('0.0.0.0')
    expect(find(set, '::')).toBe('::')
    expect(find(set, '::1')).toBeUndefined()
  })
})

describe('PX-29: IPv4-mapped peers and networks', () => {
  test('a mapped peer is found in IPv4 networks', () => {
    expect(find(setOf('10.0.0.0/8'), '::ffff:10.0.0.1')).toBe('10.0.0.0/8')
    expect(find(setOf('0.0.0.0/0'), '::ffff:203.0.113.1')).toBe('0.0.0.0/0')
  })

  test('a mapped network is the IPv4 network', () => {
    const set = setOf('::ffff:10.0.0.0/104', '::ffff:192.0.2.1')
    expect(find(set, '10.1.2.3')).toBe('::ffff:10.0.0.0/104')
    expect(find(set, '192.0.2.1')).toBe('::ffff:192.0.2.1')
    expect(find(setOf('::ffff:0:0/96'), '203.0.113.1')).toBe('::ffff:0:0/96')
  })

  test('an IPv4-compatible network is no IPv4 network', () => {
    expect(find(setOf('::192.0.2.1'), '192.0.2.1')).toBeUndefined()
    expect(find(setOf('::192.0.2.1'), '::c000:201')).toBe('::192.0.2.1')
  })

  test('::/0 holds no IPv4 peer, 0.0.0.0/0 no IPv6 peer', () => {
    expect(find(setOf('::/0'), '::ffff:10.0.0.1')).toBeUndefined()
    expect(find(setOf('::/0'), '2001:db8::1')).toBe('::/0')
    expect(find(setOf('0.0.0.0/0'), '::1')).toBeUndefined()
  })
})

describe('PX-30: text that is no network says what was expected', () => {
  test.each([
    ['*', /an IPv4 or IPv6 address, or a network/],
    ['', /an IPv4 or IPv6 address, or a network/],
    ['localhost', /an IPv4 or IPv6 address, or a network/],
    ['10.0.0.1/8/8', /an IPv4 or IPv6 address, or a network/],
    ['010.0.0.0/8', /an IPv4 or IPv6 address, or a network/],
    ['10/8', /an IPv4 or IPv6 address, or a network/],
    ['10.0.0.0/33', /prefix length from 0 to 32/],
    ['10.0.0.0/', /prefix length from 0 to 32/],
    ['10.0.0.0/08', /prefix length from 0 to 32/],
    ['10.0.0.0/-1', /prefix length from 0 to 32/],
    ['10.0.0.0/255.0.0.0', /prefix length from 0 to 32/],
    ['2001:db8::/129', /prefix length from 0 to 128/],
    ['10.0.0.1/8', /10\.0\.0\.0\/8 for the network, 10\.0\.0\.1 for the one host/],
    ['2001:db8::1/64', /2001:db8::\/64 for the network/],
    ['::ffff:10.0.0.1/104', /no bits behind the prefix/],
    ['[::1]', /without brackets/],
    ['fe80::1%eth0', /without a zone id/],
  ])('%j', (text, expected) => {
    const compiled = compileCidrSet(['192.0.2.0/24', text])
    expect(compiled).toMatchObject({
      ok: false,
      problems: [{ index: 1, text, expected: expect.stringMatching(expected) }],
    })
  })

  test('all problems are told at once', () => {
    const compiled = compileCidrSet(['*', '10.0.0.0/8', '10.0.0.0/33'])
    expect(compiled).toMatchObject({ ok: false, problems: [{ index: 0 }, { index: 2 }] })
  })
})

describe('beside others', () => {
  /** Addresses and networks crowd together, so that they nest, touch and hit. */
  const crowded = fc
    .tuple(fc.constantFrom(0, 0x0a000000, 0xfffffff0, 0xc0000200), fc.nat({ max: 0x1ff }))
    .map(([base, low]) => (base + low) >>> 0)
  const ipv4 = fc.oneof(crowded, fc.integer({ min: 0, max: 0xffff_ffff }))
  const ipv6 = fc.tuple(fc.constantFrom(0, 0x20010db8, 0xffffffff), ipv4, ipv4, ipv4)
  const ipv4Network = fc.tuple(ipv4, fc.oneof(fc.integer({ min: 20, max: 32 }), fc.integer({ min: 0, max: 32 })))
  const ipv6Network = fc.tuple(ipv6, fc.integer({ min: 0, max: 128 }))

  test('IPv4: the same answer as ipaddr.js and net.BlockList', () => {
    fc.assert(
      fc.property(
        fc.array(ipv4Network, { maxLength: 30 }),
        fc.array(ipv4, { minLength: 1, maxLength: 30 }),
        (networks, peers) => {
          const texts = networks.map(([word, prefix]) => `${ipv4FromNumber(word).network(prefix).toString()}/${prefix}`)
          const set = setOf(...texts)
          const blockList = new BlockList()
          for (const text of texts) {
            const [network = '', prefix] = text.split('/')
            blockList.addSubnet(network, Number(prefix))
          }
          for (const peer of peers.map((word) => ipv4FromNumber(word))) {
            expect(set.has(peer)).toBe(blockList.check(peer.toString()))
            expect(set.find(peer)).toBe(mostSpecific(texts, peer.toString()))
          }
        },
      ),
    )
  })

  test('IPv6: the same answer as ipaddr.js and net.BlockList', () => {
    fc.assert(
      fc.property(
        fc.array(ipv6Network, { maxLength: 30 }),
        fc.array(ipv6, { minLength: 1, maxLength: 30 }),
        (networks, peers) => {
          const texts = networks
            .map(([words, prefix]) => ({ address: ipv6FromWords(...words).network(prefix), prefix }))
            .filter(({ address }) => address.family === 6)
            .map(({ address, prefix }) => `${address.toString()}/${prefix}`)
          const set = setOf(...texts)
          const blockList = new BlockList()
          for (const text of texts) {
            const [network = '', prefix] = text.split('/')
            blockList.addSubnet(network, Number(prefix), 'ipv6')
          }
          for (const peer of peers.map((words) => ipv6FromWords(...words)).filter(({ family }) => family === 6)) {
            expect(set.has(peer)).toBe(blockList.check(peer.toString(), 'ipv6'))
            expect(set.find(peer)).toBe(mostSpecific(texts, peer.toString()))
          }
        },
      ),
    )
  })
})

/** By trying them all: the longest prefix, the first of equals. */
function mostSpecific(networks: readonly string[], peer: string): string | undefined {
  let best: string | undefined
  let bestPrefix = -1
  for (const network of networks) {
    const [range, prefix] = ipaddr.parseCIDR(network)
    if (prefix > bestPrefix && ipaddr.parse(peer).match(range, prefix)) {
      best = network
      bestPrefix = prefix
    }
  }
  return best
}

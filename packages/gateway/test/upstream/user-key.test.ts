import { describe, expect, test } from 'vitest'
import type { UpstreamConfig } from '../../src/config/schema.ts'
import { BackendGroup } from '../../src/upstream/backend-group.ts'
import { userKey } from '../../src/upstream/user-key.ts'

const here = { subaddressSeparator: '+', homeDomain: 'example.org' }

describe('J12: whom hash-user goes by', () => {
  test.each([
    ['as it is', 'ann@example.org'],
    ['in other letters', 'Ann@EXAMPLE.org'],
    ['with a sub-address', 'ann+lists@example.org'],
    ['with several', 'ann+lists+2026@example.org'],
    ['with one that is empty', 'ann+@example.org'],
    ['who signs in without a domain', 'ann'],
    ['the same with a sub-address', 'Ann+work'],
    ['in quotes', '"ann"@example.org'],
    ['in quotes with a sub-address', '"ann+a b"@example.org'],
    ['quoted where it need not be', '"a\\nn"@example.org'],
  ])('one person, %s: %s', (_, written) => {
    expect(userKey(written, here)).toBe('ann@example.org')
  })

  test.each([
    ['another domain', 'ann@example.net', 'ann@example.net'],
    ['a domain of any script', 'ann@bücher.example', 'ann@xn--bcher-kva.example'],
    ['nothing before the separator', '+lists@example.org', '+lists@example.org'],
    ['an at sign in quotes', '"a@b"@example.org', 'a@b@example.org'],
    ['postmaster', 'Postmaster', 'postmaster@example.org'],
    ['nobody', '', '@example.org'],
  ])('another one: %s', (_, written, key) => {
    expect(userKey(written, here)).toBe(key)
  })

  test('without sub-addresses and a home there is less to fold', () => {
    expect(userKey('Ann+lists@example.org', {})).toBe('ann+lists@example.org')
    expect(userKey('Ann', {})).toBe('ann')
  })
})

const group = (backends: UpstreamConfig['backends']): BackendGroup =>
  new BackendGroup(
    {
      backends,
      balance: 'hash-user',
      maxConnections: 'unlimited',
      slowStartMs: 0,
      health: { isChecked: true, intervalMs: 5000, timeoutMs: 1000, rise: 2, fall: 3 },
    },
    { onSuspicion: () => {}, onAvoided: () => {} },
  )
const at = (host: string, port: number, name?: string): UpstreamConfig['backends'][number] => ({
  address: { host, port },
  ...(name === undefined ? {} : { name }),
  weight: 1,
  isBackup: false,
})
/** Where each of many users comes to: the place of the backend in the list by which it was made. */
const places = (backends: UpstreamConfig['backends']): readonly number[] => {
  const made = group(backends)
  return Array.from({ length: 300 }, (_, index) => {
    const [first] = made.candidates(`user${index}@example.org`)
    return made.all.findIndex((backend) => backend === first)
  })
}

describe('J12: mail and login of a user meet at one machine', () => {
  test('whatever their ports', () => {
    const lmtp = ['10.0.0.1', '10.0.0.2', '10.0.0.3'].map((host) => at(host, 24))
    const imap = ['10.0.0.1', '10.0.0.2', '10.0.0.3'].map((host) => at(host, 143))
    expect(places(lmtp)).toEqual(places(imap))
    expect(new Set(places(lmtp)).size).toBe(3)
  })

  test('in whatever order they stand', () => {
    const lmtp = [at('10.0.0.1', 24), at('10.0.0.2', 24)]
    const imap = [at('10.0.0.2', 143), at('10.0.0.1', 143)]
    expect(places(lmtp).map((place) => 1 - place)).toEqual(places(imap))
  })

  test('several on one host by the order in which they stand', () => {
    const lmtp = [at('127.0.0.1', 2401), at('127.0.0.1', 2402), at('127.0.0.2', 2401)]
    const imap = [at('127.0.0.1', 1431), at('127.0.0.2', 1431), at('127.0.0.1', 1432)]
    const inOrderOfLmtp = [0, 2, 1]
    expect(places(imap).map((place) => inOrderOfLmtp[place])).toEqual(places(lmtp))
    expect(new Set(places(lmtp)).size).toBe(3)
  })

  test('by their names, where their hosts differ', () => {
    const lmtp = [at('lmtp1.example', 24, 'store-1'), at('lmtp2.example', 24, 'store-2')]
    const imap = [at('imap1.example', 143, 'store-1'), at('imap2.example', 143, 'store-2')]
    expect(places(lmtp)).toEqual(places(imap))
  })
})

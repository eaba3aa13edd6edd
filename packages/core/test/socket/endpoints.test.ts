import { Socket } from 'node:net'
import { expect, test } from 'vitest'
import { formatEndpoint, localOf, peerOf } from '@postern/core'

/** A socket that says these things of itself. */
function socketWith(
  facts: Partial<Record<'remoteAddress' | 'remotePort' | 'localAddress' | 'localPort', unknown>>,
): Socket {
  return Object.defineProperties(
    new Socket(),
    Object.fromEntries(Object.entries(facts).map(([name, value]) => [name, { value }])),
  )
}

test('PX-29: both ends are read; a mapped address is IPv4, a zone is cut off', () => {
  const socket = socketWith({
    remoteAddress: '::ffff:10.0.0.1',
    remotePort: 1000,
    localAddress: 'fe80::1%eth0',
    localPort: 25,
  })
  const [peer, local] = [peerOf(socket), localOf(socket)]
  if (peer === undefined || local === undefined) throw new Error('no ends')
  expect(formatEndpoint(peer)).toBe('10.0.0.1:1000')
  expect(formatEndpoint(local)).toBe('[fe80::1]:25')
  expect(Object.isFrozen(peer)).toBe(true)
})

test('PX-32: a socket that is gone, or has no IP address, has no ends', () => {
  expect(peerOf(new Socket())).toBeUndefined()
  expect(localOf(new Socket())).toBeUndefined()
  expect(peerOf(socketWith({ remoteAddress: '10.0.0.1' }))).toBeUndefined()
  expect(peerOf(socketWith({ remoteAddress: '/run/x.sock', remotePort: 1 }))).toBeUndefined()
})

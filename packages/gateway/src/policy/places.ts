import type { CidrSet } from '@postern/core'
import { networks } from './networks.ts'

/** Addresses that mean this machine, or no machine at all. */
export const isOfThisMachine: CidrSet = networks(['127.0.0.0/8', '::1', '0.0.0.0/8', '::'])

/** Addresses that mean another host in each network, so that no list of the world is about them (RFC 6890). */
export const isOfNoWorld: CidrSet = networks([
  '127.0.0.0/8',
  '0.0.0.0/8',
  '10.0.0.0/8',
  '172.16.0.0/12',
  '192.168.0.0/16',
  '169.254.0.0/16',
  '100.64.0.0/10',
  '::1',
  '::',
  'fe80::/10',
  'fc00::/7',
])

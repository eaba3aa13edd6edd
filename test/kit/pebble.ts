/* Pebble, an authority that speaks ACME and checks all of it, with a DNS in which every name is this machine. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { makeCertificate } from './certificates.ts'
import { startDaemon } from './daemon.ts'
import { temporaryFolder } from './folder.ts'
import { peerPath } from './peers.ts'
import { freePorts } from './ports.ts'

export interface Pebble {
  readonly directory: string
  /** The PEM file of whom a client must trust to believe it. */
  readonly ca: string
  /** Names have this address from now on. */
  readonly answerWith: (address: string) => Promise<void>
  readonly stop: () => Promise<void>
}

/** @param httpPort - where it looks for texts of challenges, in place of port 80. */
export async function startPebble(httpPort: number): Promise<Pebble> {
  const folder = temporaryFolder('pebble')
  const { cert, key } = await makeCertificate('localhost')
  const ports = await freePorts('acme', 'management', 'tls', 'dns', 'dnsManagement')
  const file = join(folder, 'pebble.json')
  const pebble = {
    listenAddress: `127.0.0.1:${ports.acme}`,
    managementListenAddress: `127.0.0.1:${ports.management}`,
    certificate: cert,
    privateKey: key,
    httpPort,
    tlsPort: ports.tls,
    ocspResponderURL: '',
    externalAccountBindingRequired: false,
  }
  writeFileSync(file, JSON.stringify({ pebble }))
  const dns = startDaemon('pebble-challtestsrv', [
    peerPath('pebble-challtestsrv'),
    [
      '-management',
      `127.0.0.1:${ports.dnsManagement}`,
      '-dns01',
      `127.0.0.1:${ports.dns}`,
      '-defaultIPv4',
      '127.0.0.1',
    ].concat(['-defaultIPv6', '', '-http01', '', '-https01', '', '-tlsalpn01', '']),
  ])
  // It waits a random time before it looks, to catch clients that hurry, unless told not to; of nonces it refuses some.
  const settings = ['PEBBLE_VA_NOSLEEP=1', 'PEBBLE_AUTHZREUSE=0', 'PEBBLE_WFE_NONCEREJECT=10']
  const authority = startDaemon('pebble', [
    '/usr/bin/env',
    [...settings, peerPath('pebble'), '-strict', '-config', file, '-dnsserver', `127.0.0.1:${ports.dns}`],
  ])
  const stop = async (): Promise<void> => {
    await Promise.all([authority.stop(), dns.stop()])
  }
  try {
    await authority.found('its directory', () => authority.said().includes('ACME directory available') || undefined)
  } catch (error) {
    await stop()
    throw error
  }
  return {
    directory: `https://localhost:${ports.acme}/dir`,
    ca: cert,
    answerWith: async (ip) => {
      const url = `http://127.0.0.1:${ports.dnsManagement}/set-default-ipv4`
      // It says that it starts before it has.
      await dns.found('its management', async () => {
        const answer = await fetch(url, { method: 'POST', body: JSON.stringify({ ip }) }).catch(() => undefined)
        return answer?.ok === true || undefined
      })
    },
    stop,
  }
}

import { peer } from './peers.ts'
import type { Outcome } from './run.ts'

export interface SwaksOptions {
  readonly port: number
  readonly to?: string
  readonly subject?: string
  /** Further arguments. */
  readonly args?: readonly string[]
}

/** Sends one message with swaks, or whatever `args` turn it into; the transcript is its output. */
export function swaks({ port, to = 'ann@example.org', subject = 'test', args = [] }: SwaksOptions): Promise<Outcome> {
  return peer('swaks', [
    ...['--server', '127.0.0.1', '--port', String(port), '--timeout', '10', '--helo', 'client.example.net'],
    ...['--from', 'bob@example.net', '--to', to, '--header', `Subject: ${subject}`],
    ...args,
  ])
}

/** The arguments that make swaks send a PROXY header, version 2, for this client. */
export function proxyV2(client: string, clientPort = 45_678): readonly string[] {
  const isV6 = client.includes(':')
  return [
    ...['--proxy-version', '2', '--proxy-family', isV6 ? 'AF_INET6' : 'AF_INET', '--proxy-protocol', 'STREAM'],
    ...['--proxy-command', 'PROXY', '--proxy-source', client, '--proxy-source-port', String(clientPort)],
    ...['--proxy-dest', isV6 ? '2001:db8::1' : '198.51.100.5', '--proxy-dest-port', '25'],
  ]
}

/** The same, version 1. */
export function proxyV1(client: string, clientPort = 45_678): readonly string[] {
  const isV6 = client.includes(':')
  return [
    ...['--proxy-version', '1', '--proxy-family', isV6 ? 'TCP6' : 'TCP4'],
    ...['--proxy-source', client, '--proxy-source-port', String(clientPort)],
    ...['--proxy-dest', isV6 ? '2001:db8::1' : '198.51.100.5', '--proxy-dest-port', '25'],
  ]
}

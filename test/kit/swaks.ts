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
  const session = `--server 127.0.0.1 --port ${port} --timeout 30 --helo client.example.net --from bob@example.net --to ${to}`
  return peer('swaks', [...session.split(' '), '--header', `Subject: ${subject}`, ...args])
}

/** The arguments that make swaks send a PROXY header, version 2, for this client. */
export function proxyV2(client: string, clientPort = 45_678): readonly string[] {
  const family = client.includes(':') ? 'AF_INET6' : 'AF_INET'
  const version = `--proxy-version 2 --proxy-family ${family} --proxy-protocol STREAM --proxy-command PROXY`
  return `${version} ${proxyEnds(client, clientPort)}`.split(' ')
}

/** The same, version 1. */
export function proxyV1(client: string, clientPort = 45_678): readonly string[] {
  const version = `--proxy-version 1 --proxy-family ${client.includes(':') ? 'TCP6' : 'TCP4'}`
  return `${version} ${proxyEnds(client, clientPort)}`.split(' ')
}

function proxyEnds(client: string, clientPort: number): string {
  const destination = client.includes(':') ? '2001:db8::1' : '198.51.100.5'
  return `--proxy-source ${client} --proxy-source-port ${clientPort} --proxy-dest ${destination} --proxy-dest-port 25`
}

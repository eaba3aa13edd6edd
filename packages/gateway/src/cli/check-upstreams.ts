/*
 * What the backends of a configuration are worth: each is connected to as mail or a login would, and told apart by what
 * it offers, what it will see of the client, and whether a bare line feed ends a message for it.
 */
import { probeBareNewline } from '@postern/smtp'
import { formatBackendAddress } from '../config/backend-address.ts'
import type { BackendConfig, Config, UpstreamConfig } from '../config/schema.ts'
import { limits } from '../limits.ts'
import { printable } from '../observe/text.ts'
import { look, relayOptionsOf, type Look } from '../upstream/look.ts'

export interface UpstreamCheckOptions {
  /** For the probe of bare line feeds. */
  readonly recipient: string
}

export interface UpstreamCheck {
  readonly text: string
  readonly areAllUsable: boolean
}

/** All backends at once; the answer is in the order of the file. */
export async function checkUpstreams(
  { upstreams, hostname }: Config['live'],
  { recipient }: UpstreamCheckOptions,
): Promise<UpstreamCheck> {
  const checks = await Promise.all(
    upstreams.map(async (config) => {
      const backends = await Promise.all(
        config.backends.map((backend) => checkBackend(config, backend, hostname, recipient)),
      )
      const { name, protocol, balance, announce, tls } = config
      const head = `upstream ${name}: ${protocol}, ${balance}; TLS ${tls.mode}; announces the client by ${announce}\n`
      return {
        text: head + backends.map(({ text }) => text).join(''),
        areAllUsable: backends.every(({ isUsable }) => isUsable),
      }
    }),
  )
  return {
    text: upstreams.length === 0 ? 'no upstream is configured\n' : checks.map(({ text }) => text).join(''),
    areAllUsable: checks.every(({ areAllUsable }) => areAllUsable),
  }
}

async function checkBackend(
  config: UpstreamConfig,
  { address }: BackendConfig,
  hostname: string,
  recipient: string,
): Promise<{ readonly text: string; readonly isUsable: boolean }> {
  const name = formatBackendAddress(address)
  const startedAt = performance.now()
  const found = await look(config, address, hostname, config.health.timeoutMs)
  const ms = Math.round(performance.now() - startedAt)
  if (!found.ok) return { text: `  ${name}: cannot be used: ${printable(found.reason)}\n`, isUsable: false }
  const lines = [
    `  ${name}: answers in ${ms} ms, ${found.isSecure ? 'under TLS' : 'in the clear'}`,
    `    offers: ${printable(found.offers.join(', '), limits.maxLogSentenceChars)}`,
    `    sees of the client: ${whatItSees(config, found)}`,
  ]
  if (config.protocol !== 'imap') {
    const probe = await probeBareNewline(address, relayOptionsOf(config, hostname), {
      recipient,
      waitMs: limits.newlineProbeMs,
    })
    lines.push(`    a bare line feed: ${verdicts[probe.verdict]} (${printable(probe.detail)})`)
  }
  return { text: `${lines.join('\n')}\n`, isUsable: true }
}

const verdicts = {
  ends: 'ENDS A MESSAGE: whoever hands bare line feeds on to it smuggles mail; this gateway does not',
  refuses: 'is refused',
  'does-not-end': 'does not end a message',
  unknown: 'could not be tried; --recipient names somebody whose mail it takes',
} as const

function whatItSees({ announce, protocol }: UpstreamConfig, { offers }: Extract<Look, { readonly ok: true }>): string {
  const attributes = (verb: string): string =>
    offers.find((line) => line.startsWith(`${verb} `))?.slice(verb.length + 1) ?? 'nothing: it is not offered'
  if (announce === 'proxy-v1' || announce === 'proxy-v2')
    return 'its address and port, by the PROXY header that it took'
  if (announce === 'xclient') return `by XCLIENT ${attributes('XCLIENT')}`
  if (announce === 'xforward') return `for its log alone, by XFORWARD ${attributes('XFORWARD')}`
  if (announce === 'imap-id') {
    return offers.includes('ID')
      ? 'its address and port, by ID, when it trusts this gateway'
      : 'nothing: it does not offer ID'
  }
  return protocol === 'imap' ? 'nothing: it takes the gateway for the client' : 'what Received tells'
}

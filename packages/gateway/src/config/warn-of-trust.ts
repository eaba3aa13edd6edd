import type { ConfigFile } from './config-file.ts'
import type { KeyPath } from './key-path.ts'
import type { Resolving } from './resolving.ts'

/** Meant at times, but a disaster when it is not: anyone can then claim to be anyone. */
export function warnOfTrust(file: ConfigFile, { warn }: Pick<Resolving, 'warn'>): void {
  const lists: { path: KeyPath; networks: readonly string[] }[] = [
    { path: ['proxy', 'trusted-networks'], networks: file.proxy['trusted-networks'] },
    ...Object.entries(file.listener).map(([name, { proxy }]) => ({
      path: ['listener', name, 'proxy', 'trusted-networks'],
      networks: proxy['trusted-networks'] ?? [],
    })),
  ]
  for (const { path, networks } of lists) {
    for (const [index, network] of networks.entries()) {
      if (!coversInternet(network)) continue
      const message = `${network} trusts everybody: whoever can connect can claim any address by a PROXY header, and pass every list and limit. Let a firewall admit your balancers only, or name their networks here`
      warn([...path, index], message)
    }
  }
  for (const [index, network] of file.smtp['relay-networks'].entries()) {
    if (!coversInternet(network)) continue
    const message = `${network} lets everybody relay to everybody through this gateway: name your own networks here`
    warn(['smtp', 'relay-networks', index], message)
  }
  for (const [index, network] of file.smtp['xclient-networks'].entries()) {
    if (!coversInternet(network)) continue
    const message = `${network} lets everybody claim any address and any login by XCLIENT: name your front ends here`
    warn(['smtp', 'xclient-networks', index], message)
  }
  for (const [index, network] of file.imap['id-networks'].entries()) {
    if (!coversInternet(network)) continue
    const message = `${network} lets everybody claim any address by ID: name your front ends here`
    warn(['imap', 'id-networks', index], message)
  }
  for (const [index, network] of file.policy['exempt-networks'].entries()) {
    if (!coversInternet(network)) continue
    warn(['policy', 'exempt-networks', index], `${network} takes all rate and concurrency limits away`)
  }
}

/** Every address of a family, or half of them: `0.0.0.0/1` with `128.0.0.0/1` is the same in two words. */
function coversInternet(network: string): boolean {
  return /\/[01]$/.test(network) || /^::ffff:.*\/9[67]$/i.test(network)
}

import type { IpAddress } from '@postern/core'
import type { ImapConfig, SmtpConfig } from '../config/schema.ts'
import { networks } from './networks.ts'

/** Who may announce another client by XCLIENT or XFORWARD, judged by whom the connection spoke for before. */
export function announcers(
  config: Pick<SmtpConfig, 'xclientNetworks' | 'xforwardNetworks'>,
): (verb: 'XCLIENT' | 'XFORWARD', by: IpAddress) => boolean {
  const listed = { XCLIENT: networks(config.xclientNetworks), XFORWARD: networks(config.xforwardNetworks) }
  return (verb, by) => listed[verb].has(by)
}

/** The same by ID, in IMAP. */
export function announcersById({ idNetworks }: Pick<ImapConfig, 'idNetworks'>): (by: IpAddress) => boolean {
  const listed = networks(idNetworks)
  return (by) => listed.has(by)
}

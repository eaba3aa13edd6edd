import { hash, timingSafeEqual } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { isIP } from 'node:net'
import { isLoopback } from '../config/bind-address.ts'
import type { BindAddress } from '../config/schema.ts'
import { readToken } from './token-file.ts'

export type Judgement =
  | { readonly verdict: 'granted' }
  /** Said to whoever asked, with this status of HTTP. */
  | { readonly verdict: 'denied'; readonly status: 401 | 403; readonly why: string }

/**
 * Who may ask what of the admin endpoint.
 *
 * Reading is free to whoever reaches the address. A page of a stranger in an operator's browser reaches it too: it cannot
 * read answers, since none allows another origin (no CORS), unless it makes its own name mean this address (DNS
 * rebinding). So an endpoint on loopback answers only to loopback addresses and `localhost`.
 *
 * Acting asks for the token, in a header that no browser adds by itself; and what a browser says of where a request comes
 * from must not speak against it.
 */
export class AdminAccess {
  readonly #isLoopback: boolean
  readonly #tokenFile: string | undefined

  constructor(bind: BindAddress, tokenFile: string | undefined) {
    this.#isLoopback = isLoopback(bind)
    this.#tokenFile = tokenFile
  }

  isForUs({ headers }: Pick<IncomingMessage, 'headers'>): boolean {
    if (!this.#isLoopback || headers.host === undefined) return true
    const name = headers.host.replace(/:\d*$/, '').replace(/^\[(.*)\]$/, '$1')
    return name.toLowerCase() === 'localhost' || (isIP(name) !== 0 && isLoopback({ host: name, port: 0 }))
  }

  /** The token is read each time, so that a new one holds at once. */
  async judge({ headers }: Pick<IncomingMessage, 'headers'>): Promise<Judgement> {
    const { origin, host = '' } = headers
    const site = headers['sec-fetch-site']
    if (origin !== undefined && origin !== `http://${host}` && origin !== `https://${host}`) {
      return { verdict: 'denied', status: 403, why: 'a page of another origin may not act' }
    }
    if (site !== undefined && site !== 'same-origin' && site !== 'none') {
      return { verdict: 'denied', status: 403, why: 'a page of another site may not act' }
    }
    if (this.#tokenFile === undefined) {
      return {
        verdict: 'denied',
        status: 403,
        why: 'actions are off: the gateway runs without admin.token-file; SIGHUP makes it read its configuration again',
      }
    }
    const token = await readToken(this.#tokenFile)
    if (!token.ok) return { verdict: 'denied', status: 403, why: `admin.token-file cannot be used: ${token.reason}` }
    const given = /^Bearer +(\S+) *$/i.exec(headers.authorization ?? '')?.[1] ?? ''
    // Hashes are of one length, so that the comparison tells nothing of the token's.
    const isRight = timingSafeEqual(hash('sha256', given, 'buffer'), hash('sha256', token.token, 'buffer'))
    if (isRight) return { verdict: 'granted' }
    return { verdict: 'denied', status: 401, why: 'the token is needed: Authorization: Bearer, as in admin.token-file' }
  }
}

/*
 * TLS on our side of a connection, implicit or by STARTTLS: certificates by server name, and handshakes that cannot be
 * stalled or gathered without bound.
 */
import { hash, X509Certificate } from 'node:crypto'
import { createSecureContext, TLSSocket, type SecureContext } from 'node:tls'
import { exporterOf, type Connection, type ListenerInfo } from '@postern/core'
import type { CertificateConfig, ClientCertificates, LimitsConfig, TlsConfig } from '../config/schema.ts'
import { limits } from '../limits.ts'

/** The handshake did not come to an end: what the peer or OpenSSL said is for the log. */
export class HandshakeError extends Error {
  override readonly name = 'HandshakeError'
}

/** What clients are asked for. */
interface Clients {
  readonly certificates: ClientCertificates
  /** PEM: who signs them. */
  readonly ca?: string
}

/** Ends TLS for one listener. */
export class TlsGate {
  /** For a whole handshake. */
  readonly timeoutMs: number
  readonly #listener: ListenerInfo
  readonly #certificates: readonly CertificateConfig[]
  readonly #clients: Clients
  readonly #handshakes: Handshakes
  readonly #rules: TlsConfig
  #contexts: ContextsByName

  /**
   * @param handshakes - those under way in this worker; one object for all listeners.
   * @param clients - whether they are asked for a certificate, and who must have signed it.
   * @param rules - what is spoken at all.
   */
  constructor(
    listener: ListenerInfo,
    certificates: readonly CertificateConfig[],
    ticketKeys: Buffer,
    bounds: Pick<LimitsConfig, 'tlsHandshakeTimeoutMs'>,
    handshakes: Handshakes,
    clients: Clients = { certificates: 'off' },
    rules: TlsConfig = { minVersion: 'TLSv1.2' },
  ) {
    this.#listener = listener
    this.#certificates = certificates
    this.timeoutMs = bounds.tlsHandshakeTimeoutMs
    this.#handshakes = handshakes
    this.#clients = clients
    this.#rules = rules
    this.#contexts = new ContextsByName(certificates, listener, ticketKeys, clients, rules)
  }

  /** Connections from now on get tickets under other keys; those under way keep theirs. */
  useTicketKeys(ticketKeys: Buffer): void {
    this.#contexts = new ContextsByName(this.#certificates, this.#listener, ticketKeys, this.#clients, this.#rules)
  }

  /**
   * Takes over the stream of a connection at once, and gives the secured connection when the handshake is done.
   *
   * @param withinMs - less than the whole time when some of it has passed already.
   * @throws {HandshakeError} when it fails, takes too long, or had to make room; the stream is then destroyed.
   */
  async secure(spent: Connection, withinMs: number = this.timeoutMs): Promise<Connection> {
    const contexts = this.#contexts
    const stream = new TLSSocket(spent.stream, {
      isServer: true,
      requestCert: this.#clients.certificates !== 'off',
      rejectUnauthorized: this.#clients.certificates === 'require',
      secureContext: contexts.byDefault,
      SNICallback: (name, answer) => answer(null, contexts.find(name)),
      // RFC 7301 section 3.2 and the ALPACA attack: a client that came for another protocol is refused, not served.
      ALPNCallback: ({ protocols }) => protocols.find((protocol) => protocol === alpnOf(this.#listener)),
    })
    const end = this.#handshakes.begin((error) => stream.destroy(error))
    try {
      await untilSecure(stream, withinMs, this.timeoutMs)
    } catch (error) {
      stream.on('error', ignore)
      stream.destroy()
      throw error
    } finally {
      end()
    }
    const isVerified = this.#clients.certificates !== 'off' && hasVerifiedCertificate(stream)
    if (this.#clients.certificates === 'require' && !isVerified) {
      stream.on('error', ignore)
      stream.destroy()
      throw new HandshakeError('the client has no certificate that tls.client-ca has signed')
    }
    const serverName = typeof stream.servername === 'string' ? stream.servername : undefined
    return {
      ...spent,
      get signal() {
        return spent.signal
      },
      stream,
      security: {
        kind: 'tls',
        endedBy: 'gateway',
        version: stream.getProtocol() ?? 'unknown',
        cipher: stream.getCipher().name,
        ...(serverName === undefined ? {} : { serverName }),
        ...(isVerified ? commonNameOf(stream) : {}),
        ...exporterOf(stream),
      },
    }
  }
}

/**
 * The handshakes under way in one worker. Each holds some 50 KB, and a client may stall in it for its whole deadline, so
 * their number is bounded. Over the bound the one that has taken longest gives up its place: under an attack that is
 * most likely a stalled one, where refusing newcomers would refuse everybody.
 */
export class Handshakes {
  readonly #max: number
  readonly #giveUp = new Set<(error: Error) => void>()

  constructor(max: number) {
    this.#max = max
  }

  /** @returns what to call at its end. */
  begin(giveUp: (error: Error) => void): () => void {
    if (this.#giveUp.size >= this.#max) {
      const [oldest] = this.#giveUp
      if (oldest !== undefined) {
        this.#giveUp.delete(oldest)
        oldest(new HandshakeError('made room for newer handshakes: too many were under way'))
      }
    }
    this.#giveUp.add(giveUp)
    return () => this.#giveUp.delete(giveUp)
  }
}

/** A handshake ends by `secure`, or by anything else. */
function untilSecure(stream: TLSSocket, withinMs: number, timeoutMs: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const deadline = setTimeout(
      () => fail(new HandshakeError(`no TLS handshake within ${timeoutMs / 1000} s`)),
      withinMs,
    )
    const unlisten = (): void => {
      clearTimeout(deadline)
      stream.off('secure', onSecure)
      stream.off('error', onError)
      stream.off('end', onGone)
      stream.off('close', onGone)
    }
    const fail = (error: HandshakeError): void => {
      unlisten()
      reject(error)
    }
    const onSecure = (): void => {
      unlisten()
      resolve()
    }
    const onError = (error: NodeJS.ErrnoException): void => {
      fail(error instanceof HandshakeError ? error : new HandshakeError(error.code ?? error.message, { cause: error }))
    }
    const onGone = (): void => fail(new HandshakeError('the client left during the handshake'))
    stream.on('secure', onSecure)
    stream.on('error', onError)
    stream.on('end', onGone)
    stream.on('close', onGone)
  })
}

/**
 * Certificates by the names they are for. Made of the configuration alone, so no client makes it grow (CVE-2017-15130).
 *
 * Certificates of one name with keys of different kinds, as ECDSA and RSA, stand side by side where they are the default:
 * OpenSSL takes the one that the client can verify. For other names the RSA one is shown. Of the same kind, the first
 * counts.
 */
class ContextsByName {
  readonly byDefault: SecureContext
  readonly #byName = new Map<string, SecureContext>()

  constructor(
    certificates: readonly CertificateConfig[],
    listener: ListenerInfo,
    ticketKeys: Buffer,
    { certificates: mode, ca }: Clients,
    { minVersion, ciphers }: TlsConfig,
  ) {
    const known = new Map<string, SecureContext>()
    const contextOf = (together: readonly Named[]): SecureContext => {
      const key = together.map(({ index }) => index).join(' ')
      const context =
        known.get(key) ??
        createSecureContext({
          cert: together.map(({ certificate }) => certificate.cert),
          key: together.map(({ certificate }) => certificate.key),
          minVersion,
          ...(ciphers === undefined ? {} : { ciphers }),
          // Also among the kinds of keys: most clients list both, and a signature of ECDSA costs us less.
          honorCipherOrder: true,
          ticketKeys,
          ...(ca === undefined || mode === 'off' ? {} : { ca }),
          // A ticket of one listener is worth nothing at another, which may ask for more; nor when another authority is asked.
          sessionIdContext: hash('sha256', `${listener.name} ${mode} ${ca}`).slice(0, maxSessionIdContextBytes),
        })
      known.set(key, context)
      return context
    }
    const all = certificates.map(namedOf)
    const [first] = all
    if (first === undefined) throw new Error(`listener ${listener.name} speaks TLS and has no certificate`)
    const isBesideFirst = ({ names }: Named): boolean => names.some((name) => first.names.includes(name))
    this.byDefault = contextOf(firstOfEachKind([first, ...all.slice(1).filter(isBesideFirst)]))
    for (const name of new Set(all.flatMap(({ names }) => names))) {
      this.#byName.set(name, contextOf(firstOfEachKind(all.filter(({ names }) => names.includes(name)))))
    }
  }

  /**
   * RFC 6066 section 3: names are compared without case, and without the dot of the root.
   *
   * @returns nothing when the connection has the right one already, which is `byDefault`: Node hands on only one of the
   *   certificates of a context that it is told here.
   */
  find(serverName: string): SecureContext | undefined {
    const found = this.#find(serverName)
    return found === this.byDefault ? undefined : found
  }

  #find(serverName: string): SecureContext {
    if (serverName.length > limits.maxServerNameChars) return this.byDefault
    const name = serverName.toLowerCase().replace(/\.$/, '')
    // RFC 6125 section 6.4.3: `*` stands for one whole label, the leftmost.
    return this.#byName.get(name) ?? this.#byName.get(name.replace(/^[^.]+/, '*')) ?? this.byDefault
  }
}

/** OpenSSL's SSL_MAX_SID_CTX_LENGTH. */
const maxSessionIdContextBytes = 32

/**
 * OpenSSL has verified the client's certificate against `tls.client-ca`. Node tells its verdict to `tls.Server` alone, which
 * reads it off the handle; a handle that does not say is no verdict.
 */
function hasVerifiedCertificate(stream: TLSSocket): boolean {
  const { _handle: handle } = stream as { readonly _handle?: { verifyError?(): Error | null | undefined } }
  if (typeof handle?.verifyError !== 'function' || stream.getPeerX509Certificate() === undefined) return false
  return (handle.verifyError() ?? undefined) === undefined
}

/** Of two names nobody can say which is meant. */
function commonNameOf(stream: TLSSocket): { readonly clientCommonName?: string } {
  const { CN: name } = stream.getPeerCertificate().subject as { readonly CN?: string | readonly string[] }
  return typeof name === 'string' ? { clientCommonName: name } : {}
}

interface Named {
  readonly index: number
  readonly certificate: CertificateConfig
  readonly names: readonly string[]
  /** As in `rsa` and `ec`. */
  readonly keyKind: string
}

function namedOf(certificate: CertificateConfig, index: number): Named {
  const parsed = new X509Certificate(certificate.cert)
  return { index, certificate, names: namesOf(parsed), keyKind: parsed.publicKey.asymmetricKeyType ?? 'unknown' }
}

/** RSA last: of a context chosen by SNI Node hands on the last one alone, and RSA is what every client can verify. */
function firstOfEachKind(certificates: readonly Named[]): readonly Named[] {
  const kinds = certificates.filter(
    ({ keyKind }, index) => certificates.findIndex((other) => other.keyKind === keyKind) === index,
  )
  return kinds.toSorted((a, b) => Number(a.keyKind === 'rsa') - Number(b.keyKind === 'rsa'))
}

/** RFC 6125 section 6.4.4: the subject's common name counts only where no alternative name is given. */
export function namesOf({ subjectAltName, subject }: X509Certificate): readonly string[] {
  // Without the extension there is no text at all, whatever its type says.
  const names = [...`${subjectAltName}`.matchAll(/DNS:([^,\s]+)/g)].map((match) => match[1]!.toLowerCase())
  const commonName = /^CN=(.+)$/m.exec(subject)?.[1]
  return names.length > 0 || commonName === undefined ? names : [commonName.toLowerCase()]
}

function alpnOf(listener: ListenerInfo): string {
  return listener.protocol === 'imap' ? 'imap' : 'smtp'
}

function ignore(): void {}

/*
 * Why an order for a certificate came to nothing, in words of a closed list, and what an operator can do about it.
 */
import { reasonOf } from '../config/read-file.ts'

export type AcmeReason =
  /** The directory does not answer, or is not believed. */
  | 'unreachable'
  /** The authority could not see that a name is ours. */
  | 'challenge'
  | 'rate-limited'
  /** The authority issues nothing for such a name, or the name's owner does not let it. */
  | 'name'
  /** The account, or what is said of its owner. */
  | 'account'
  /** The authority broke its protocol, or has trouble of its own. */
  | 'authority'
  | 'timeout'
  /** A file or an address of this machine. */
  | 'system'
  | 'stopped'

export interface AcmeFailure {
  readonly reason: AcmeReason
  /** What was met, in the words of whoever met it; untrusted. */
  readonly cause: string
  readonly mend: string
  /** Not to be asked again any sooner, milliseconds (RFC 8555 section 6.6). */
  readonly notBeforeMs?: number
}

/** What an order throws. */
export class AcmeError extends Error {
  override readonly name = 'AcmeError'
  readonly failure: AcmeFailure

  constructor(failure: AcmeFailure, options?: ErrorOptions) {
    super(failure.cause, options)
    this.failure = failure
  }
}

/** A problem document of the authority (RFC 7807), by the types of RFC 8555 section 6.7. */
export interface AcmeProblem {
  readonly type: string
  readonly detail: string
  readonly retryAfterMs?: number
}

/** Reads a problem document out of what an authority sent. */
export function problemIn(document: unknown, retryAfterMs?: number): AcmeProblem | undefined {
  if (typeof document !== 'object' || document === null) return undefined
  const { type, detail } = document as { readonly type?: unknown; readonly detail?: unknown }
  if (typeof type !== 'string' || !type.startsWith(problemPrefix)) return undefined
  return {
    type: type.slice(problemPrefix.length),
    detail: typeof detail === 'string' ? detail : '',
    ...(retryAfterMs !== undefined && { retryAfterMs }),
  }
}

const problemPrefix = 'urn:ietf:params:acme:error:'

/** @param where - where the authority finds the texts of challenges, for the mend. */
export function failureOfProblem({ type, detail, retryAfterMs }: AcmeProblem, where: string): AcmeFailure {
  const reason = reasons[type] ?? 'authority'
  return {
    reason,
    cause: detail === '' ? type : `${type}: ${detail}`,
    mend: mendOf(type, reason, where),
    ...(retryAfterMs !== undefined && { notBeforeMs: retryAfterMs }),
  }
}

const reasons: Readonly<Record<string, AcmeReason>> = {
  connection: 'challenge',
  dns: 'challenge',
  incorrectResponse: 'challenge',
  tls: 'challenge',
  unauthorized: 'challenge',
  rateLimited: 'rate-limited',
  caa: 'name',
  rejectedIdentifier: 'name',
  unsupportedIdentifier: 'name',
  accountDoesNotExist: 'account',
  badPublicKey: 'account',
  externalAccountRequired: 'account',
  invalidContact: 'account',
  unsupportedContact: 'account',
  userActionRequired: 'account',
}

function mendOf(type: string, reason: AcmeReason, where: string): string {
  switch (type) {
    case 'caa':
      return 'a CAA record of the domain names other authorities: add this one to it'
    case 'externalAccountRequired':
      return 'this authority has accounts of its own: tls.acme.external-account says which is yours'
    case 'userActionRequired':
      return 'the authority wants its terms agreed to anew: read what it says'
    case 'dns':
      return `give the name an address (A, AAAA) that leads to ${where}`
    default:
      return mends(where)[reason]
  }
}

function mends(where: string): Readonly<Record<AcmeReason, string>> {
  return {
    unreachable: 'let this machine reach tls.acme.directory; a private authority is named in NODE_EXTRA_CA_CERTS',
    challenge: `port 80 of each name, seen from the Internet, must lead to ${where}`,
    'rate-limited': 'the authority wants fewer orders: wait, and try a staging directory first',
    name: 'the authority issues nothing for it: change tls.acme.names',
    account: 'change tls.acme.email, or take account.pem out of the folder of tls.acme so that a new account is made',
    authority: 'trouble of the authority: it is asked again by itself',
    timeout: 'the authority is slow: it is asked again by itself',
    system: 'let the user of the gateway write the folder of tls.acme, and bind tls.acme.bind',
    stopped: 'the gateway ends',
  }
}

/** What an exception of an order means that is no problem document. */
export function failureOfError(error: unknown, where: string): AcmeFailure {
  if (error instanceof AcmeError) return error.failure
  const { cause = error } = error as { readonly cause?: unknown }
  const { code, name } = cause as { readonly code?: unknown; readonly name?: string }
  const reason = code === undefined && name !== 'TimeoutError' ? 'authority' : 'unreachable'
  return { reason, cause: reasonOf(cause), mend: mends(where)[reason] }
}

export function failureFor(reason: AcmeReason, cause: string, where: string): AcmeFailure {
  return { reason, cause, mend: mends(where)[reason] }
}

/*
 * SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, RFC 7677), the server's side.
 *
 * Client and server prove to each other that they know the password, and neither says it. With -PLUS the proof also holds
 * the name of the TLS channel (RFC 9266), so that nobody sits between. A client that could bind and believes that it may not
 * says "y", and everything it says is part of the proof: when -PLUS was offered, somebody has struck it from the list.
 *
 * A wrong password, an unknown user, another nonce and another channel look the same: the exchange is over, and denied.
 *
 * A client may keep an exchange open for as long as it has to sign in, so policies are asked at each step and not at the first
 * alone: whoever is banned meanwhile is not told whether the proof was right, and is not signed in.
 */
import { randomBytes } from 'node:crypto'
import type { Principal, ScramClaim, ScramKeys } from '../contracts/auth.ts'
import type { ConnectionInfo } from '../contracts/connection.ts'
import { decoyScramKeys, verifyScramProof } from './scram-keys.ts'
import { encodeServerFirst, parseClientFinal, parseClientFirst, type ClientFirst } from './scram-messages.ts'
import { actingAs, conclude, objection } from './sign-in.ts'
import { malformedMessage, type Challenge, type MechanismStep, type SaslContext } from './steps.ts'
import { encodeBase64 } from './text.ts'

/** The channel binding of TLS 1.3 (RFC 9266). */
const bindingType = 'tls-exporter'

const nothing = Buffer.alloc(0)
/** For authenticators that bring no keys for unknown names. */
const secretOfProcess = randomBytes(32)

/** 144 bits, as text without "," (RFC 5802 section 5.1). */
export function newNonce(): string {
  return randomBytes(18).toString('base64')
}

/** @param nonce - ours, appended to the client's. */
export function scram(context: SaslContext, isPlus: boolean, nonce: string = newNonce()): Challenge {
  return {
    challenge: '',
    take(response) {
      const first = parseClientFirst(response)
      if (first === undefined) return malformedMessage
      return takeFirst(context, { first, nonce: first.nonce + nonce, binding: bindingFor(context, isPlus, first) })
    },
  }
}

interface Exchange {
  readonly first: ClientFirst
  /** The client's and ours together. */
  readonly nonce: string
  /** What stands behind the header in the client's final message; `undefined` when no final message will do. */
  readonly binding: Buffer | undefined
}

/** RFC 5802 section 6. A failure is not told before the end, where it is one of many. */
function bindingFor({ connection }: SaslContext, isPlus: boolean, { binding }: ClientFirst): Buffer | undefined {
  const exporter = exporterOf(connection)
  if (isPlus) return typeof binding === 'object' && binding.type === bindingType ? exporter?.() : undefined
  const isDowngrade = binding === 'server-seems-to-have-none' && exporter !== undefined
  return typeof binding === 'object' || isDowngrade ? undefined : nothing
}

/** The channel that a client may bind itself to. */
export function exporterOf({ security }: Pick<ConnectionInfo, 'security'>): (() => Buffer | undefined) | undefined {
  return security.kind === 'tls' ? security.tlsExporter : undefined
}

async function takeFirst(context: SaslContext, exchange: Exchange): Promise<MechanismStep> {
  const { authenticator, connection } = context
  const { username, authorizationId } = exchange.first
  const claim = { username, ...actingAs(authorizationId, username) }
  const refusal = await objection(context, username)
  if (refusal !== undefined) return refusal

  const looked = await authenticator.scramKeys?.(claim, connection)
  if (looked?.outcome === 'unavailable') return conclude(claim, looked)
  const found = looked?.outcome === 'found' ? looked : undefined
  const keys = looked?.keys ?? decoyScramKeys(username, secretOfProcess)
  const serverFirst = encodeServerFirst({ ...keys, nonce: exchange.nonce })
  return {
    challenge: serverFirst,
    take: (response) =>
      takeFinal(context, exchange, { claim, keys, serverFirst, principal: found?.principal }, response),
  }
}

interface Looked {
  readonly claim: ScramClaim
  readonly keys: ScramKeys
  readonly serverFirst: string
  /** Absent for a name that is unknown. */
  readonly principal: Principal | undefined
}

async function takeFinal(
  context: SaslContext,
  { first, nonce, binding }: Exchange,
  { claim, keys, serverFirst, principal }: Looked,
  response: Buffer,
): Promise<MechanismStep> {
  const final = parseClientFinal(response)
  if (final === undefined) return malformedMessage
  const refusal = await objection(context, claim.username)
  if (refusal !== undefined) return refusal

  const authMessage = `${first.bare},${serverFirst},${final.withoutProof}`
  const signature = verifyScramProof(keys, authMessage, final.proof)
  const isBound =
    binding !== undefined && final.channelBinding.equals(Buffer.concat([Buffer.from(first.gs2Header), binding]))
  if (signature === undefined || principal === undefined || !isBound || final.nonce !== nonce) {
    return conclude(claim, { outcome: 'denied' })
  }
  // Neither protocol has room for a last word beside its success, so that goes as a challenge, answered by nothing
  // (RFC 4422 section 3.6, RFC 4954 section 4).
  return {
    challenge: `v=${encodeBase64(signature)}`,
    take: (last) => (last.length === 0 ? grant(context, claim, principal) : malformedMessage),
  }
}

async function grant(context: SaslContext, claim: ScramClaim, principal: Principal): Promise<MechanismStep> {
  return (await objection(context, claim.username)) ?? conclude(claim, { outcome: 'granted', principal })
}

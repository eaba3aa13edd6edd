/*
 * The keys of SCRAM-SHA-256 (RFC 5802 section 3, RFC 7677):
 *
 *   SaltedPassword  := Hi(Normalize(password), salt, i)
 *   ClientKey       := HMAC(SaltedPassword, "Client Key")
 *   StoredKey       := H(ClientKey)
 *   ClientSignature := HMAC(StoredKey, AuthMessage)
 *   ClientProof     := ClientKey XOR ClientSignature
 *   ServerKey       := HMAC(SaltedPassword, "Server Key")
 *   ServerSignature := HMAC(ServerKey, AuthMessage)
 *
 * Hi is PBKDF2, which runs on the thread pool. All else is some microseconds.
 */
import { createHash, createHmac, pbkdf2, randomBytes, timingSafeEqual } from 'node:crypto'
import { promisify } from 'node:util'
import type { ScramKeys } from '../contracts/auth.ts'
import { limits } from '../limits.ts'

/** Length of a hash, and with it of every key, signature and proof. */
export const hashBytes = 32
const saltBytes = 16

/**
 * What a server keeps of a password.
 *
 * @param prepared - the password behind `prepareScramPassword`.
 * @param salt - a fresh one, when absent.
 */
export async function deriveScramKeys(
  prepared: string,
  { salt = randomBytes(saltBytes), iterations = limits.scramIterations }: Partial<ScramKeys> = {},
): Promise<ScramKeys> {
  const salted = await saltPassword(prepared, salt, iterations)
  return { salt, iterations, storedKey: sha256(clientKeyOf(salted)), serverKey: serverKeyOf(salted) }
}

/**
 * Keys that no password gives, for a name that is unknown: the same at each time, as those of an account would be, so
 * that nobody learns from the salt who has one.
 *
 * @param secret - of the server: the same in all its processes, known to nobody else, and kept over restarts.
 */
export function decoyScramKeys(
  username: string,
  secret: Buffer,
  iterations: number = limits.scramIterations,
): ScramKeys {
  const part = (name: string): Buffer => hmac(secret, `${name}\0${username}`)
  return {
    salt: part('salt').subarray(0, saltBytes),
    iterations,
    storedKey: part('stored key'),
    serverKey: part('server key'),
  }
}

/** The salted password: all that a client needs, and worth as much as the password itself. */
export function saltPassword(prepared: string, salt: Buffer, iterations: number): Promise<Buffer> {
  return promisify(pbkdf2)(prepared, salt, iterations, hashBytes, 'sha256')
}

/** The client's answer, and the signature by which the server proves that it knows the password too. */
export function proveByScram(
  salted: Buffer,
  authMessage: string,
): { readonly proof: Buffer; readonly serverSignature: Buffer } {
  const clientKey = clientKeyOf(salted)
  return {
    proof: xor(clientKey, hmac(sha256(clientKey), authMessage)),
    serverSignature: hmac(serverKeyOf(salted), authMessage),
  }
}

/** The server's signature when the proof is right. */
export function verifyScramProof(keys: ScramKeys, authMessage: string, proof: Buffer): Buffer | undefined {
  if (proof.length !== hashBytes) return undefined
  const clientKey = xor(proof, hmac(keys.storedKey, authMessage))
  return equals(sha256(clientKey), keys.storedKey) ? hmac(keys.serverKey, authMessage) : undefined
}

/** In a time that tells nothing but whether the lengths differ. */
export function equals(a: Buffer, b: Buffer): boolean {
  return a.length === b.length && timingSafeEqual(a, b)
}

function clientKeyOf(salted: Buffer): Buffer {
  return hmac(salted, 'Client Key')
}

function serverKeyOf(salted: Buffer): Buffer {
  return hmac(salted, 'Server Key')
}

function hmac(key: Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest()
}

function sha256(bytes: Buffer): Buffer {
  return createHash('sha256').update(bytes).digest()
}

/** Both of one length. */
function xor(a: Buffer, b: Buffer): Buffer {
  return Buffer.from(a.map((octet, index) => octet ^ b[index]!))
}

/*
 * Password hashes as PHC strings: `$argon2id$v=19$m=19456,t=2,p=1$SALT$HASH`, base64 without padding. Argon2id with the
 * parameters of RFC 9106 as OWASP's password storage guide chooses them for servers; scrypt (RFC 7914) where this Node
 * was built without Argon2. Hashing runs on the thread pool, never on the event loop.
 */
import * as crypto from 'node:crypto'
import { promisify } from 'node:util'

export type PasswordHash = Argon2idHash | ScryptHash

export interface Argon2idHash {
  readonly algorithm: 'argon2id'
  readonly memoryKib: number
  readonly passes: number
  readonly parallelism: number
  readonly salt: Buffer
  readonly tag: Buffer
}

export interface ScryptHash {
  readonly algorithm: 'scrypt'
  /** Logarithm of the cost N. */
  readonly logCost: number
  readonly blockSize: number
  readonly parallelism: number
  readonly salt: Buffer
  readonly tag: Buffer
}

/** Node 24.7 and later, unless it was built against an OpenSSL without it. */
const hasArgon2 = typeof crypto.argon2 === 'function'

/** Hashes a password that `preparePassword` has passed, with a fresh salt. */
export async function hashPassword(password: string): Promise<PasswordHash> {
  const template = hasArgon2 ? argon2Template : scryptTemplate
  const fresh = { ...template, salt: crypto.randomBytes(saltBytes) }
  return { ...fresh, tag: await derive(password, fresh) }
}

/** Whether `password` gave this hash. Rejects when the algorithm is not at hand, or memory is not. */
export async function verifyPassword(password: string, hash: PasswordHash): Promise<boolean> {
  return crypto.timingSafeEqual(await derive(password, hash), hash.tag)
}

/** A hash that no password gives, costing as much to try as `like`: for users that are unknown. */
export function decoyHash(like: PasswordHash = hasArgon2 ? argon2Template : scryptTemplate): PasswordHash {
  return { ...like, salt: crypto.randomBytes(saltBytes), tag: crypto.randomBytes(like.tag.length) }
}

/** Two hashes that are equal here take equally long to verify. */
export function costOf(hash: PasswordHash): string {
  return settingsOf(hash)
}

export function formatPasswordHash(hash: PasswordHash): string {
  return `$${settingsOf(hash)}$${toBase64(hash.salt)}$${toBase64(hash.tag)}`
}

/** `undefined` when it is no hash of these two kinds, or asks for more memory or time than a server should give. */
export function parsePasswordHash(text: string): PasswordHash | undefined {
  return parseArgon2id(text) ?? parseScrypt(text)
}

/** For the words of a problem. */
export const passwordHashWords = 'a hash as `postern user` writes it, beginning with "$argon2id$"'

// ── PHC strings ─────────────────────────────────────────────────────────────

const number = '([1-9][0-9]{0,6})'
const base64 = '([A-Za-z0-9+/]+)'
const argon2idPattern = new RegExp(`^\\$argon2id\\$v=19\\$m=${number},t=${number},p=${number}\\$${base64}\\$${base64}$`)
const scryptPattern = new RegExp(`^\\$scrypt\\$ln=${number},r=${number},p=${number}\\$${base64}\\$${base64}$`)

/** RFC 9106 section 3.1: 8p KiB at least. At most 256 MiB and 16 passes, so that one login cannot stop a server. */
function parseArgon2id(text: string): Argon2idHash | undefined {
  const [match, m, t, p, salt = '', tag = ''] = argon2idPattern.exec(text) ?? []
  if (match === undefined) return undefined
  const [memoryKib, passes, parallelism] = [Number(m), Number(t), Number(p)]
  const isBounded = memoryKib >= 8 * parallelism && memoryKib <= 262_144 && passes <= 16 && parallelism <= 16
  const bytes = saltAndTag(salt, tag)
  return isBounded && bytes ? { algorithm: 'argon2id', memoryKib, passes, parallelism, ...bytes } : undefined
}

/** Memory is 128 · r · 2^ln bytes (RFC 7914 section 2): at most 256 MiB. */
function parseScrypt(text: string): ScryptHash | undefined {
  const [match, ln, r, p, salt = '', tag = ''] = scryptPattern.exec(text) ?? []
  if (match === undefined) return undefined
  const [logCost, blockSize, parallelism] = [Number(ln), Number(r), Number(p)]
  const isBounded = logCost <= 20 && 128 * blockSize * 2 ** logCost <= 268_435_456 && parallelism <= 16
  const bytes = saltAndTag(salt, tag)
  return isBounded && bytes ? { algorithm: 'scrypt', logCost, blockSize, parallelism, ...bytes } : undefined
}

function saltAndTag(saltText: string, tagText: string): { readonly salt: Buffer; readonly tag: Buffer } | undefined {
  const salt = Buffer.from(saltText, 'base64')
  const tag = Buffer.from(tagText, 'base64')
  // Each is compared with what was written, since Buffer.from drops what it does not understand.
  if (toBase64(salt) !== saltText || toBase64(tag) !== tagText) return undefined
  return salt.length >= 8 && salt.length <= 64 && tag.length >= 16 && tag.length <= 64 ? { salt, tag } : undefined
}

function settingsOf(hash: PasswordHash): string {
  return hash.algorithm === 'argon2id'
    ? `argon2id$v=19$m=${hash.memoryKib},t=${hash.passes},p=${hash.parallelism}`
    : `scrypt$ln=${hash.logCost},r=${hash.blockSize},p=${hash.parallelism}`
}

function toBase64(bytes: Buffer): string {
  return bytes.toString('base64').replace(/={1,2}$/, '')
}

// ── hashing ─────────────────────────────────────────────────────────────────

const saltBytes = 16
const nothing = Buffer.alloc(32)

/** 19 MiB and two passes: some 30 ms. */
const argon2Template: Argon2idHash = {
  algorithm: 'argon2id',
  memoryKib: 19_456,
  passes: 2,
  parallelism: 1,
  salt: nothing,
  tag: nothing,
}

/** 16 MiB: some 40 ms. */
const scryptTemplate: ScryptHash = {
  algorithm: 'scrypt',
  logCost: 14,
  blockSize: 8,
  parallelism: 1,
  salt: nothing,
  tag: nothing,
}

const scrypt = promisify<string, Buffer, number, crypto.ScryptOptions, Buffer>(crypto.scrypt)

async function derive(password: string, hash: PasswordHash): Promise<Buffer> {
  if (hash.algorithm === 'scrypt') {
    const N = 2 ** hash.logCost
    const maxmem = 256 * hash.blockSize * N
    return scrypt(password, hash.salt, hash.tag.length, { N, r: hash.blockSize, p: hash.parallelism, maxmem })
  }
  if (!hasArgon2) throw new Error('this Node has no Argon2: it was built without it')
  return promisify(crypto.argon2)('argon2id', {
    message: password,
    nonce: hash.salt,
    memory: hash.memoryKib,
    passes: hash.passes,
    parallelism: hash.parallelism,
    tagLength: hash.tag.length,
  })
}

/*
 * Accounts with mail in them, the same for every server that is compared.
 */
import { argon2Sync, randomBytes } from 'node:crypto'
import { chownSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { messageOf } from '../load/work.ts'

export interface Mailboxes {
  /** Accounts `user1@example.org` and so on, who sign in with `password`. */
  readonly users: number
  /** Messages in the INBOX of each. */
  readonly messages: number
}

export const password = 'a password of the benchmark'

/** Of every user with a hash as it should be, and of every user with one that takes no time. */
export const domains = { production: 'example.org', cheap: 'cheap.example' } as const

/** As OWASP's password storage guide has it, and the least that both servers take (RFC 9106 section 3.1). */
const settings = {
  [domains.production]: { memory: 19_456, passes: 2 },
  [domains.cheap]: { memory: 8, passes: 1 },
} as const

/** All accounts, with a PHC string for each: the same string for both servers. */
export function accountsOf({ users }: Mailboxes): readonly { readonly name: string; readonly hash: string }[] {
  return Object.entries(settings).flatMap(([domain, { memory, passes }]) => {
    const hash = phc(memory, passes)
    return Array.from({ length: users }, (_, i) => ({ name: `user${i + 1}@${domain}`, hash }))
  })
}

/** From short notes to letters with a picture; 7 KB on average. */
const sizes = [1_200, 2_048, 2_600, 3_500, 4_096, 5_000, 8_192, 30_000]

/**
 * Writes the Maildirs. All mail has been seen by a server but not by its owner, and a tenth is flagged.
 *
 * @param owner - a user and group of the system whose they become.
 */
export function seedMailboxes(root: string, mailboxes: Mailboxes, owner?: { uid: number; gid: number }): void {
  const own = (path: string): void => {
    if (owner !== undefined) chownSync(path, owner.uid, owner.gid)
  }
  const folder = (path: string): string => {
    mkdirSync(path, { recursive: true, mode: 0o700 })
    own(path)
    return path
  }
  folder(root)
  for (const { name } of accountsOf(mailboxes)) {
    folder(join(root, name))
    const inbox = folder(join(root, name, 'Maildir'))
    const appended = folder(join(inbox, '.Appended'))
    for (const one of [inbox, appended]) for (const part of ['cur', 'new', 'tmp']) folder(join(one, part))
    writeFileSync(join(appended, 'maildirfolder'), '')
    own(join(appended, 'maildirfolder'))
    for (let i = 0; i < mailboxes.messages; i++) {
      const bytes = sizes[i % sizes.length]!
      const flags = i % 10 === 0 ? 'F' : ''
      const path = join(inbox, 'cur', `${1_700_000_000 + i}.M${i}P1Q1.mx.example.org,S=${bytes},W=${bytes}:2,${flags}`)
      writeFileSync(path, messageOf(bytes, fieldsOf(i)), { mode: 0o600 })
      own(path)
    }
  }
}

function fieldsOf(i: number): string {
  return [
    `Date: ${new Date(1_700_000_000_000 + i * 1_000).toUTCString().replace('GMT', '+0000')}`,
    `From: "Ann of the Benchmark" <ann${i}@example.net>`,
    'To: Bob <bob@example.org>, Carol <carol@example.org>',
    `Message-ID: <${i}@bench.example.net>`,
    'MIME-Version: 1.0',
    'Content-Type: text/plain; charset=utf-8',
    '',
  ].join('\r\n')
}

function phc(memory: number, passes: number): string {
  const nonce = randomBytes(16)
  const tag = argon2Sync('argon2id', { message: password, nonce, parallelism: 1, tagLength: 32, memory, passes })
  return `$argon2id$v=19$m=${memory},t=${passes},p=1$${unpadded(nonce)}$${unpadded(tag)}`
}

function unpadded(bytes: Buffer): string {
  return bytes.toString('base64').replaceAll('=', '')
}

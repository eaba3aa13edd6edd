/* A Dovecot of the test's own, on loopback and out of a temporary folder. */
import { execFileSync } from 'node:child_process'
import { chmodSync, chownSync, existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { linesOf, listens, startDaemon } from './daemon.ts'
import { temporaryFolder } from './folder.ts'
import { requirePeer } from './peers.ts'

export interface DovecotOptions {
  /** The program of `/usr/lib/dovecot` that a service needs. */
  readonly needs: 'lmtp' | 'imap'
  /** Files of its folder, by name. */
  readonly files: (owner: Owner, path: (name: string) => string) => Readonly<Record<string, string>>
  /** The rest of its configuration. */
  readonly config: (path: (name: string) => string) => string
  /** On which it listens, when it is up. */
  readonly port: number
}

/** To whom mail belongs. */
export interface Owner {
  readonly uid: number
  readonly gid: number
}

export interface Dovecot {
  readonly path: (name: string) => string
  /** The first line of its log, from the start or yet to come, that matches. */
  readonly waitForLog: (what: string, pattern: RegExp) => Promise<string>
  readonly log: () => readonly string[]
  readonly stop: () => Promise<void>
}

export async function startDovecot({ needs, files, config, port }: DovecotOptions): Promise<Dovecot> {
  requirePeer('dovecot')
  if (!existsSync(`/usr/lib/dovecot/${needs}`)) {
    throw new Error(`dovecot has no ${needs}: run \`sh scripts/install-test-peers.sh\` and try again`)
  }
  const folder = temporaryFolder('dovecot')
  chmodSync(folder, 0o755)
  const path = (name: string): string => join(folder, name)
  for (const name of ['mail', 'run']) mkdirSync(path(name))
  // Mail belongs to nobody; without root's rights, to whoever runs the test, as all of Dovecot does then.
  const isRoot = process.getuid?.() === 0
  const whose = isRoot ? ['nobody'] : []
  const ask = (flag: string): string => execFileSync('id', [flag, ...whose], { encoding: 'utf8' }).trim()
  const owner: Owner = { uid: Number(ask('-u')), gid: Number(ask('-g')) }
  if (isRoot) chownSync(path('mail'), owner.uid, owner.gid)
  for (const [name, text] of Object.entries(files(owner, path))) writeFileSync(path(name), text)
  const ours = isRoot
    ? ''
    : `default_internal_user = ${ask('-un')}\ndefault_login_user = ${ask('-un')}\ndefault_internal_group = ${ask('-gn')}\n`
  writeFileSync(
    path('dovecot.conf'),
    `base_dir = ${path('run')}
state_dir = ${path('run')}
log_path = ${path('log')}
${ours}mail_location = maildir:~/Maildir
first_valid_uid = 1
haproxy_trusted_networks = 127.0.0.0/8
login_trusted_networks = 127.0.0.0/8
service stats {
  unix_listener stats-writer {
    mode = 0666
  }
}
${config(path)}`,
  )
  const log = (): readonly string[] => linesOf(path('log'))
  const dovecot = startDaemon('Dovecot', ['dovecot', ['-F', '-c', path('dovecot.conf')]], () => log().slice(-30))
  await dovecot.found('Dovecot to listen', () => listens(port))
  return {
    path,
    log,
    waitForLog: (what, pattern) =>
      dovecot.found(`Dovecot's log to tell ${what}`, () => log().find((line) => pattern.test(line))),
    stop: () => dovecot.stop(),
  }
}

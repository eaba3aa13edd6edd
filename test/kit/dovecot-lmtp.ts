/* A Dovecot of the test's own that takes mail by LMTP, on loopback and out of a temporary folder. */
import { execFileSync } from 'node:child_process'
import { chmodSync, chownSync, existsSync, globSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { linesOf, listens, startDaemon } from './daemon.ts'
import { temporaryFolder } from './folder.ts'
import { requirePeer } from './peers.ts'
import { freePorts } from './ports.ts'

export interface DovecotLmtp {
  /** `plain` believes XCLIENT from this machine; `proxied` wants a PROXY header. */
  readonly ports: { readonly plain: number; readonly proxied: number }
  /** The first line of its log, from the start or yet to come, that matches. */
  readonly waitForLog: (what: string, pattern: RegExp) => Promise<string>
  /** What a user has, as it is stored. */
  readonly messages: (user: string) => readonly string[]
  readonly stop: () => Promise<void>
}

/** @param users - whose mail it takes; everybody else is unknown there. */
export async function startDovecotLmtp(users: readonly string[]): Promise<DovecotLmtp> {
  requirePeer('dovecot')
  if (!existsSync('/usr/lib/dovecot/lmtp')) {
    throw new Error('dovecot has no LMTP: run `sh scripts/install-test-peers.sh` and try again')
  }
  const folder = temporaryFolder('dovecot')
  chmodSync(folder, 0o755)
  const path = (name: string): string => join(folder, name)
  for (const name of ['mail', 'run']) mkdirSync(path(name))
  // Mail belongs to nobody; without root's rights, to whoever runs the test, as all of Dovecot does then.
  const isRoot = process.getuid?.() === 0
  const owner = isRoot ? ['nobody'] : []
  const ask = (flag: string): string => execFileSync('id', [flag, ...owner], { encoding: 'utf8' }).trim()
  const [uid, gid] = [Number(ask('-u')), Number(ask('-g'))]
  if (isRoot) chownSync(path('mail'), uid, gid)
  writeFileSync(path('users'), users.map((user) => `${user}::${uid}:${gid}::${path('mail')}/${user}::\n`).join(''))
  const ports = await freePorts('plain', 'proxied')
  const config = `base_dir = ${path('run')}
state_dir = ${path('run')}
log_path = ${path('log')}
${isRoot ? '' : `default_internal_user = ${ask('-un')}\ndefault_login_user = ${ask('-un')}\ndefault_internal_group = ${ask('-gn')}`}
protocols = lmtp
ssl = no
mail_location = maildir:~/Maildir
first_valid_uid = 1
haproxy_trusted_networks = 127.0.0.0/8
login_trusted_networks = 127.0.0.0/8
auth_username_format = %Lu
passdb {
  driver = static
  args = nopassword=y
}
userdb {
  driver = passwd-file
  args = ${path('users')}
}
service lmtp {
  inet_listener plain {
    address = 127.0.0.1
    port = ${ports.plain}
  }
  inet_listener proxied {
    address = 127.0.0.1
    port = ${ports.proxied}
    haproxy = yes
  }
}
service stats {
  unix_listener stats-writer {
    mode = 0666
  }
}
`
  writeFileSync(path('dovecot.conf'), config)
  const log = (): readonly string[] => linesOf(path('log'))
  const dovecot = startDaemon('Dovecot', ['dovecot', ['-F', '-c', path('dovecot.conf')]], () => log().slice(-30))
  await dovecot.found('Dovecot to listen', () => listens(ports.plain))
  return {
    ports,
    waitForLog: (what, pattern) =>
      dovecot.found(`Dovecot's log to tell ${what}`, () => log().find((line) => pattern.test(line))),
    messages: (user) => globSync(path(`mail/${user}/Maildir/new/*`)).map((name) => readFileSync(name, 'latin1')),
    stop: () => dovecot.stop(),
  }
}

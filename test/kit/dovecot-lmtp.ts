/* A Dovecot of the test's own that takes mail by LMTP, on loopback and out of a temporary folder. */
import { execFileSync } from 'node:child_process'
import { chmodSync, chownSync, existsSync, globSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { temporaryFolder } from './folder.ts'
import { eventually, within } from './patience.ts'
import { requirePeer } from './peers.ts'
import { freePorts } from './ports.ts'
import { start } from './run.ts'

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
  const child = start('dovecot', ['-F', '-c', path('dovecot.conf')])
  let said = ''
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (chunk: Buffer) => (said += chunk.toString()))
  let isRunning = true
  const ended = new Promise<void>((resolve) => {
    child.once('close', () => {
      isRunning = false
      resolve()
    })
  })
  const log = (): readonly string[] => (existsSync(path('log')) ? readFileSync(path('log'), 'utf8').split('\n') : [])
  await eventually('Dovecot to listen', () => {
    if (!isRunning) throw new Error(`Dovecot did not start:\n${said}${log().join('\n')}`)
    return canConnect(ports.plain)
  })
  return {
    ports,
    waitForLog: (what, pattern) =>
      eventually(`Dovecot's log to tell ${what}`, () => log().find((line) => pattern.test(line))).catch(
        (error: unknown) => {
          throw new Error(`${String(error)}\n${log().slice(-30).join('\n')}`)
        },
      ),
    messages: (user) => globSync(path(`mail/${user}/Maildir/new/*`)).map((name) => readFileSync(name, 'latin1')),
    stop: async () => {
      if (isRunning) child.kill('SIGTERM')
      await within(10_000, 'Dovecot to stop', ended)
    },
  }
}

function canConnect(port: number): Promise<true | undefined> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('error', () => {
      resolve(undefined)
    })
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
  })
}

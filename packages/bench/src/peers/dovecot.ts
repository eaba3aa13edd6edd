/*
 * Dovecot, of the system's package, with a configuration and all its files in a folder of its own.
 */
import { spawnSync } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import { freePort, launchCommand } from '../server/launch.ts'
import { hasCommand, type Contestant } from './contestants.ts'
import { accountsOf, seedMailboxes, type Mailboxes } from './mailboxes.ts'

/**
 * Behind a balancer that sends headers. Logins are of the kind that its documentation calls high-performance: login
 * processes serve many clients each, as many as there are workers of ours, and there are mail processes in store.
 */
export function dovecot(mailboxes: Mailboxes, workers: number): Contestant {
  const missing = hasCommand('dovecot') ? {} : { missing: 'dovecot is not installed (scripts/install-bench-peers.sh)' }
  return {
    name: 'dovecot',
    about: `Dovecot ${version()}, Maildir, mail_fsync=optimized (its default), high-performance logins in ${workers} processes, a mail process for each session`,
    ...missing,
    start: async () => {
      const port = await freePort()
      const folder = mkdtempSync(join(tmpdir(), 'postern-bench-dovecot-'))
      // Its processes change to users of their own, which have to come in.
      chmodSync(folder, 0o755)
      const owner = ownerOfMail()
      seedMailboxes(join(folder, 'mail'), mailboxes, owner)
      for (const name of ['run', 'state']) mkdirSync(join(folder, name), { mode: 0o755 })
      const users = join(folder, 'users')
      writeFileSync(
        users,
        accountsOf(mailboxes)
          .map(({ name, hash }) => `${name}:{ARGON2ID}${hash}\n`)
          .join(''),
      )
      const file = join(folder, 'dovecot.conf')
      writeFileSync(file, configuration(folder, users, port, workers, owner))
      const launched = await launchCommand('dovecot', ['-F', '-c', file], port)
      return { ...launched, port, stop: () => launched.stop().finally(() => rmSync(folder, { recursive: true })) }
    },
  }
}

interface Owner {
  readonly uid: number
  readonly gid: number
}

/** Mail never belongs to root: Dovecot would refuse it. */
function ownerOfMail(): Owner {
  const { uid, gid } = userInfo()
  return uid === 0 ? { uid: 65_534, gid: 65_534 } : { uid, gid }
}

/** Of every Dovecot that is measured: its folders, many clients of one address that come behind a balancer, and no log. */
export function dovecotBasics(folder: string): string {
  const { uid, gid, username } = userInfo()
  // Without root it cannot change its users: all of them are this one.
  const rootless =
    uid === 0
      ? ''
      : `default_internal_user = ${username}
default_login_user = ${username}
default_internal_group = ${gid}
service anvil { chroot = }
service imap-login { chroot = }
`
  return `
base_dir = ${folder}/run
state_dir = ${folder}/state
log_path = /dev/null
protocols = imap
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
haproxy_trusted_networks = 127.0.0.0/8
mail_max_userip_connections = 100000
default_client_limit = 20000
${rootless}`
}

function configuration(folder: string, users: string, port: number, workers: number, { uid, gid }: Owner): string {
  return `${dovecotBasics(folder)}
mail_location = maildir:${folder}/mail/%u/Maildir
mail_uid = ${uid}
mail_gid = ${gid}
first_valid_uid = ${Math.min(uid, 500)}
first_valid_gid = ${Math.min(gid, 1)}
default_vsz_limit = 1G
passdb {
  driver = passwd-file
  args = scheme=ARGON2ID ${users}
}
userdb {
  driver = static
  args = uid=${uid} gid=${gid} home=${folder}/mail/%u
}
namespace inbox {
  inbox = yes
}
service imap-login {
  service_count = 0
  process_min_avail = ${workers}
  process_limit = ${workers}
  inet_listener imap {
    port = ${port}
    haproxy = yes
  }
  inet_listener imaps {
    port = 0
  }
}
service imap {
  service_count = 256
  process_min_avail = 4
  process_limit = 20000
}
service auth {
  client_limit = 40000
}
service anvil {
  client_limit = 40000
}
`
}

function version(): string {
  const { stdout } = spawnSync('dovecot', ['--version'], { encoding: 'utf8' })
  return stdout?.split(' ')[0]?.trim() || '(version unknown)'
}

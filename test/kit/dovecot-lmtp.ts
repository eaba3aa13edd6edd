/* A Dovecot of the test's own that takes mail by LMTP. */
import { globSync, readFileSync } from 'node:fs'
import { startDovecot, type Dovecot } from './dovecot.ts'
import { freePorts } from './ports.ts'

export interface DovecotLmtp extends Pick<Dovecot, 'waitForLog' | 'stop'> {
  /** `plain` believes XCLIENT from this machine; `proxied` wants a PROXY header. */
  readonly ports: { readonly plain: number; readonly proxied: number }
  /** What a user has, as it is stored. */
  readonly messages: (user: string) => readonly string[]
}

/** @param users - whose mail it takes; everybody else is unknown there. */
export async function startDovecotLmtp(users: readonly string[]): Promise<DovecotLmtp> {
  const ports = await freePorts('plain', 'proxied')
  const { path, waitForLog, stop } = await startDovecot({
    needs: 'lmtp',
    port: ports.plain,
    files: ({ uid, gid }, pathOf) => ({
      users: users.map((user) => `${user}::${uid}:${gid}::${pathOf('mail')}/${user}::\n`).join(''),
    }),
    config: (pathOf) => `protocols = lmtp
ssl = no
auth_username_format = %Lu
passdb {
  driver = static
  args = nopassword=y
}
userdb {
  driver = passwd-file
  args = ${pathOf('users')}
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
`,
  })
  return {
    ports,
    waitForLog,
    messages: (user) => globSync(path(`mail/${user}/Maildir/new/*`)).map((name) => readFileSync(name, 'latin1')),
    stop,
  }
}

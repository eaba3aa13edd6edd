/* A Dovecot of the test's own that shows mail by IMAP. */
import { startDovecot, type Dovecot } from './dovecot.ts'
import type { Certificate } from './certificates.ts'
import type { Account } from './gateway.ts'
import { freePorts } from './ports.ts'

export interface DovecotImap extends Pick<Dovecot, 'waitForLog' | 'log' | 'stop'> {
  /** `plain` believes ID of this machine, and offers STARTTLS; `proxied` wants a PROXY header. */
  readonly ports: { readonly plain: number; readonly proxied: number }
}

/**
 * @param users - who may sign in there; `master` may, with its password, for all of them.
 * @param certificate - for STARTTLS.
 * @param elsewhere - who signs in there and is handed on to another server, as somebody of that one.
 */
export async function startDovecotImap(
  users: readonly Account[],
  certificate: Certificate,
  master: Account = { name: 'postern', password: 'm4ster' },
  elsewhere: readonly { readonly here: Account; readonly there: Account; readonly port: number }[] = [],
): Promise<DovecotImap> {
  const ports = await freePorts('plain', 'proxied')
  const { waitForLog, log, stop } = await startDovecot({
    needs: 'imap',
    port: ports.plain,
    files: ({ uid, gid }, pathOf) => ({
      users: [
        ...users.map(({ name, password }) => `${name}:{PLAIN}${password}:${uid}:${gid}::${pathOf('mail')}/${name}::\n`),
        ...elsewhere.map(({ here, there, port }) => {
          const way = `proxy=y host=127.0.0.1 port=${port} starttls=any-cert`
          return `${here.name}:{PLAIN}${here.password}::::::${way} destuser=${there.name} pass=${there.password}\n`
        }),
      ].join(''),
      masters: `${master.name}:{PLAIN}${master.password}\n`,
    }),
    config: (pathOf) => `protocols = imap
ssl = yes
ssl_cert = <${certificate.cert}
ssl_key = <${certificate.key}
disable_plaintext_auth = no
auth_username_format = %Lu
auth_failure_delay = 0
login_log_format_elements = user=<%u> rip=%r lip=%l session=<%{session}> %c
imap_id_log = *
mail_plugins = zlib
protocol imap {
  mail_plugins = zlib imap_zlib
  mail_max_userip_connections = 100
}
passdb {
  driver = passwd-file
  args = ${pathOf('masters')}
  master = yes
  result_success = continue
}
passdb {
  driver = passwd-file
  args = ${pathOf('users')}
}
userdb {
  driver = passwd-file
  args = ${pathOf('users')}
}
# No waiting for who came from an address that failed before: all clients here have one.
service anvil {
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
service imap-login {
  process_min_avail = 1
  service_count = 0
  inet_listener imap {
    address = 127.0.0.1
    port = ${ports.plain}
  }
  inet_listener imaps {
    port = 0
  }
  inet_listener proxied {
    address = 127.0.0.1
    port = ${ports.proxied}
    haproxy = yes
  }
}
`,
  })
  return { ports, waitForLog, log, stop }
}

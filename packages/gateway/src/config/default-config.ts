/**
 * What runs without a configuration file: everything on loopback, data in the directory beside. Ports above 1024, so
 * that it needs no rights; the second port of each pair is for trying PROXY headers.
 */
export const defaultConfigText: string = `
[server]
hostname = "localhost"
data-dir = "."

[proxy]
trusted-networks = ["127.0.0.0/8", "::1"]

[listener.smtp]
protocol = "smtp"
bind     = "127.0.0.1:2525"
[listener.smtp.proxy]
mode = "off"

[listener.smtp-proxy]
protocol = "smtp"
bind     = "127.0.0.1:2526"
[listener.smtp-proxy.proxy]
mode = "require"

[listener.submission]
protocol = "submission"
bind     = "127.0.0.1:2587"
[listener.submission.proxy]
mode = "off"

[listener.submissions]
protocol = "submission"
bind     = "127.0.0.1:2465"
tls      = "implicit"
[listener.submissions.proxy]
mode = "off"

[listener.imap]
protocol = "imap"
bind     = "127.0.0.1:2143"
[listener.imap.proxy]
mode = "off"

[listener.imap-proxy]
protocol = "imap"
bind     = "127.0.0.1:2144"
[listener.imap-proxy.proxy]
mode = "require"

[listener.imaps]
protocol = "imap"
bind     = "127.0.0.1:2993"
tls      = "implicit"
[listener.imaps.proxy]
mode = "off"

[tls]
certificates = [{ cert = "certificate.pem", key = "key.pem" }]

[accounts]
file = "accounts.toml"

[dns]
client-names = false

[admin]
bind       = "127.0.0.1:2080"
token-file = "admin.token"
`.trimStart()

/** Whose mail it takes: that of its host name. */
export const defaultLocalDomains: readonly string[] = ['localhost']

/** In the current directory. */
export const defaultDataDir = '.postern'

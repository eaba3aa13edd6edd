/*
 * The gateway as it ships, in processes of its own, with a Maildir in a folder of its own.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { launchProgram, type Launched } from '../server/launch.ts'

export interface GatewayOptions {
  /** `info` is what the log has by default. */
  readonly logLevel: 'info' | 'warn'
  readonly workers?: number
  /** `[[account]]` tables; without a word, whose mail the load delivers: nobody can sign in. */
  readonly accounts?: string
  /** Networks that send headers; loopback is always one. */
  readonly trustedNetworks?: readonly string[]
  /** Who judges the logins of its IMAP listener; `accounts` when absent. */
  readonly imapSignIn?: 'upstream'
  /** Further tables of the configuration. */
  readonly extra?: string
  /** Made before it starts, with the folder of the mail. */
  readonly seed?: (mailFolder: string) => void
}

/** Where it listens: SMTP where no header may come and where one must, IMAP where one must, and the admin endpoint. */
export interface GatewayPorts {
  readonly direct: number
  readonly proxied: number
  readonly imap: number
}

/** The hash is that of no password. */
const nobodySignsIn = `[[account]]
name = "bob@example.org"
password = "$argon2id$v=19$m=19456,t=2,p=1$${'A'.repeat(22)}$${'A'.repeat(43)}"
`

/** Starts it; its folder goes when it has stopped. */
export async function startGateway(options: GatewayOptions): Promise<GatewayPorts & Launched> {
  const folder = mkdtempSync(join(tmpdir(), 'postern-bench-'))
  options.seed?.(join(folder, 'data', 'mail'))
  const program = new URL('gateway-program.js', import.meta.url)
  const file = join(folder, 'postern.toml')
  writeFileSync(file, configuration(folder, options))
  const server = await launchProgram<GatewayPorts>(program, [file])
  return { ...server, stop: () => server.stop().finally(() => rmSync(folder, { recursive: true })) }
}

/**
 * Everything that is not here is as it is without a word. No lookups of client names, which no other server here does;
 * and the one machine that the load comes from may have as many connections as it likes.
 */
function configuration(folder: string, options: GatewayOptions): string {
  const { logLevel, workers = 1, accounts = nobodySignsIn, trustedNetworks = [], extra = '', imapSignIn } = options
  const file = join(folder, 'accounts.toml')
  writeFileSync(file, accounts, { mode: 0o600 })
  const trusted = ['127.0.0.0/8', ...trustedNetworks]
  return [
    `[server]\nhostname = "mx.example.org"\nworkers = ${workers}\ndata-dir = ${JSON.stringify(join(folder, 'data'))}\n`,
    listenerTable('direct', 'smtp', 'off', trusted),
    listenerTable('proxied', 'smtp', 'require', trusted),
    listenerTable('imap', 'imap', 'require', trusted, imapSignIn),
    `[accounts]\nfile = ${JSON.stringify(file)}\n`,
    '[smtp]\nlocal-domains = ["example.org"]\n',
    '[dns]\nclient-names = false\n',
    extra.includes('[policy') ? '' : '[policy]\nexempt-networks = ["127.0.0.0/8", "203.0.113.0/24"]\n',
    `[log]\nlevel = "${logLevel}"\n`,
    extra.includes('[admin]') ? '' : '[admin]\nbind = "off"\n',
    extra,
  ].join('\n')
}

function listenerTable(
  name: string,
  protocol: string,
  mode: string,
  trusted: readonly string[],
  signIn = 'accounts',
): string {
  return (
    `[listener.${name}]\nprotocol = "${protocol}"\nbind = "127.0.0.1:0"\ntls = "off"\nsign-in = "${signIn}"\n` +
    `[listener.${name}.proxy]\nmode = "${mode}"\ntrusted-networks = ${JSON.stringify(trusted)}\n`
  )
}

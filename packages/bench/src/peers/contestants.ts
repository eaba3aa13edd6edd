/*
 * The servers that are compared, each started on this machine with what its own documentation has for production. What a
 * setting is for is in the report, beside the figures.
 */
import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { ProxyVersion } from '../load/options.ts'
import { startGateway } from './gateway.ts'
import { freePort, launchCommand, launchProgram, type Launched } from '../server/launch.ts'

/** A server that can be started. */
export interface Contestant {
  readonly name: string
  /** What it is, with its version and the settings that matter. */
  readonly about: string
  /** Why it cannot run here; undefined when it can. */
  readonly missing?: string
  readonly start: () => Promise<Running>
}

export interface Running extends Launched {
  readonly port: number
  /** What a connection to that port has to send first; nothing when absent. */
  readonly proxy?: ProxyVersion
}

const require = createRequire(import.meta.url)

/** @postern/smtp in a bare server of its own, dropping what it reads. */
export function posternDiscarding(workers: number): Contestant {
  return {
    name: `postern, discarding${inWorkers(workers)}`,
    about: '@postern/smtp behind node:net, a destination that drops what it is given; no log, no policies',
    start: () =>
      launchProgram<{ port: number }>(new URL('discard-program.js', import.meta.url), ['0', String(workers)]),
  }
}

/** The gateway as it ships, with its acceptor, policies and log, delivering into its Maildir. */
export function posternMaildir(workers: number): Contestant {
  return {
    name: `postern gateway, Maildir, synced${inWorkers(workers)}`,
    about: '`postern serve` with its default log; each message and its directory synced before it is acknowledged',
    start: async () => {
      const server = await startGateway({ logLevel: 'info', workers })
      return { ...server, port: server.direct }
    },
  }
}

export function smtpServer(workers: number): Contestant {
  return {
    name: `smtp-server${inWorkers(workers)}`,
    about: `npm smtp-server ${versionOf('smtp-server')}, no log, no reverse lookups, onData reads to the end`,
    start: () =>
      launchProgram<{ port: number }>(new URL('smtp-server-program.js', import.meta.url), ['0', String(workers)]),
  }
}

export interface HarakaOptions {
  /** Whom it takes PROXY headers from; nobody when absent. */
  readonly trusts?: string
  /** The port of a server here to which it hands each message before it acknowledges it; dropped when absent. */
  readonly forwardTo?: number
}

export function haraka(workers: number, { trusts, forwardTo }: HarakaOptions = {}): Contestant {
  const queue = forwardTo === undefined ? 'queue/discard' : 'queue/smtp_forward'
  const missing = isInstalled('Haraka') ? {} : { missing: 'the npm package Haraka is not installed' }
  return {
    name: `haraka${inWorkers(workers)}`,
    about: `npm Haraka ${versionOf('Haraka')}, its own configuration but for log level error, plugin ${queue} and every recipient accepted`,
    ...missing,
    start: async () => {
      const port = await freePort()
      const folder = mkdtempSync(join(tmpdir(), 'postern-bench-haraka-'))
      const installed = dirname(require.resolve('Haraka/package.json'))
      cpSync(join(installed, 'config'), join(folder, 'config'), { recursive: true })
      writeHaraka(folder, { port, workers, queue })
      if (forwardTo !== undefined) {
        writeFileSync(join(folder, 'config', 'smtp_forward.ini'), `host=127.0.0.1\nport=${forwardTo}\n`)
      }
      if (trusts !== undefined) {
        const file = join(folder, 'config', 'connection.ini')
        writeFileSync(file, readFileSync(file, 'utf8').replace(/^hosts\[\] =$/m, `hosts[] = ${trusts}`))
      }
      const program = join(installed, 'bin', 'haraka')
      const launched = await launchCommand(process.execPath, [program, '-c', folder], port, {
        env: { ...process.env, YES_REALLY_DO_DISCARD: '1' },
      })
      return { ...launched, port, stop: () => launched.stop().finally(() => rmSync(folder, { recursive: true })) }
    },
  }
}

/** Postfix's own test sink: C, one process, no checks to speak of. */
export function smtpSink(): Contestant {
  const missing = hasCommand('smtp-sink')
    ? {}
    : { missing: 'smtp-sink is not installed (scripts/install-bench-peers.sh)' }
  return {
    name: 'smtp-sink',
    about: `Postfix ${postfixVersion()} smtp-sink: C, one process; it parses almost nothing and keeps nothing`,
    ...missing,
    start: async () => {
      const port = await freePort()
      const user = process.getuid?.() === 0 ? ['-u', 'nobody'] : []
      // Its default is 256 clients at a time.
      const launched = await launchCommand('smtp-sink', [...user, '-m', '20000', `127.0.0.1:${port}`, '4096'], port)
      return { ...launched, port }
    },
  }
}

export function hasCommand(name: string): boolean {
  const path = `${process.env['PATH'] ?? ''}:/usr/sbin:/usr/local/sbin`
  return spawnSync('sh', ['-c', `command -v ${name}`], { env: { ...process.env, PATH: path } }).status === 0
}

function postfixVersion(): string {
  const { stdout } = spawnSync('postconf', ['-d', '-h', 'mail_version'], { encoding: 'utf8' })
  return stdout?.trim() || '(version unknown)'
}

function inWorkers(workers: number): string {
  return workers === 1 ? '' : `, ${workers} workers`
}

function isInstalled(name: string): boolean {
  try {
    require.resolve(`${name}/package.json`)
    return true
  } catch {
    return false
  }
}

function versionOf(name: string): string {
  return isInstalled(name) ? (require(`${name}/package.json`) as { version: string }).version : '(not installed)'
}

function writeHaraka(
  folder: string,
  { port, workers, queue }: { readonly port: number; readonly workers: number; readonly queue: string },
): void {
  mkdirSync(join(folder, 'plugins'))
  mkdirSync(join(folder, 'queue'))
  const nodes = workers === 1 ? 'nodes=0\n' : `nodes=${workers}\n`
  const files: Readonly<Record<string, string>> = {
    'config/smtp.ini': `listen=127.0.0.1:${port}\n${nodes}`,
    'config/log.ini': 'level=error\n',
    'config/me': 'mx.example.org\n',
    'config/plugins': `accept_every_recipient\n${queue}\n`,
    'plugins/accept_every_recipient.js': 'exports.hook_rcpt = (next) => next(OK)\n',
  }
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text)
}

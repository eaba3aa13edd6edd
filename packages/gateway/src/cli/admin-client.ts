import { join, resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Command } from 'commander'
import { readToken } from '../admin/token-file.ts'
import { formatBindAddress, isWildcard } from '../config/bind-address.ts'
import { defaultConfigText, defaultDataDir } from '../config/default-config.ts'
import { findAdmin, parseConfig } from '../config/load.ts'
import type { AdminConfig } from '../config/schema.ts'
import { limits } from '../limits.ts'
import { exitStatus } from './exit-status.ts'
import { problemText } from './problem-text.ts'
import { CommandFailure, type Terminal } from './terminal.ts'

/** How the running gateway is found. */
export interface AdminOptions {
  readonly config?: string
  readonly admin?: string
  readonly tokenFile?: string
}

export function withAdminOptions(command: Command): Command {
  return command
    .option('-c, --config <file>', 'the configuration file of the gateway; without it, that of the built-in defaults')
    .option('--admin <address>', 'its admin endpoint, when another one than [admin] says, as in 127.0.0.1:2080')
}

/** The admin endpoint of a running gateway, as a command asks it. */
export class AdminClient {
  readonly #url: string
  readonly #tokenFile: string | undefined

  private constructor(url: string, tokenFile: string | undefined) {
    this.#url = url
    this.#tokenFile = tokenFile
  }

  static async find(terminal: Terminal, options: AdminOptions): Promise<AdminClient> {
    const { bind, tokenFile } = await adminConfig(terminal, options)
    const token = options.tokenFile === undefined ? tokenFile : resolve(terminal.cwd, options.tokenFile)
    if (options.admin !== undefined) return new AdminClient(`http://${options.admin}`, token)
    if (bind === undefined) {
      throw new CommandFailure(exitStatus.usage, 'admin.bind is "off": a gateway of this configuration cannot be asked')
    }
    // A wildcard is no address to connect to.
    const host = isWildcard(bind) ? (bind.host === '::' ? '::1' : '127.0.0.1') : bind.host
    return new AdminClient(`http://${formatBindAddress({ ...bind, host })}`, token)
  }

  /** @returns the answer to a question that everybody may ask. */
  async get(path: string): Promise<unknown> {
    const { status, body } = await this.#ask('GET', path, {})
    if (status !== 200 && status !== 503) throw new CommandFailure(exitStatus.wrong, said(body, status))
    return body
  }

  /** Asks for an action, with the token. */
  async post(path: string): Promise<{ readonly status: number; readonly body: unknown }> {
    if (this.#tokenFile === undefined) {
      throw new CommandFailure(
        exitStatus.usage,
        'there is no admin.token-file: name a file with a token in [admin], or send the supervisor SIGHUP (reload) or SIGTERM (stop)',
      )
    }
    const token = await readToken(this.#tokenFile)
    if (!token.ok) throw new CommandFailure(exitStatus.io, `${this.#tokenFile}: ${token.reason}`)
    const answer = await this.#ask('POST', path, { authorization: `Bearer ${token.token}` })
    if (answer.status === 401 || answer.status === 403) {
      throw new CommandFailure(exitStatus.wrong, said(answer.body, answer.status))
    }
    return answer
  }

  /** Resolves when nobody answers any more. */
  async gone(): Promise<void> {
    for (;;) {
      try {
        await this.#ask('GET', '/healthz', {})
      } catch {
        return
      }
      await delay(limits.aliveEveryMs)
    }
  }

  async #ask(
    method: string,
    path: string,
    headers: Record<string, string>,
  ): Promise<{ status: number; body: unknown }> {
    try {
      const response = await fetch(`${this.#url}${path}`, { method, headers, redirect: 'error' })
      return { status: response.status, body: await response.json() }
    } catch (error) {
      const { cause } = error as { readonly cause?: { readonly code?: string } }
      const why = cause?.code === 'ECONNREFUSED' ? 'nobody answers: is the gateway running?' : 'no answer that is one'
      throw new CommandFailure(exitStatus.unreachable, `${this.#url}: ${why}`)
    }
  }
}

async function adminConfig(terminal: Terminal, { config, admin }: AdminOptions): Promise<AdminConfig> {
  if (config === undefined) {
    const dataDir = resolve(terminal.cwd, defaultDataDir)
    const outcome = await parseConfig(defaultConfigText, { file: join(dataDir, 'built-in defaults'), baseDir: dataDir })
    if (outcome.ok) return outcome.config.start.admin
    if (admin !== undefined) return {}
    throw new CommandFailure(
      exitStatus.usage,
      `no gateway was started in this directory: name its configuration (-c FILE) or its endpoint (--admin ADDRESS)`,
    )
  }
  const found = await findAdmin(resolve(terminal.cwd, config))
  if (found.ok) return found.admin
  for (const problem of found.problems) terminal.stderr.write(problemText(problem, terminal.cwd))
  throw new CommandFailure(exitStatus.wrong, 'the configuration does not say where the gateway is asked')
}

function said(body: unknown, status: number): string {
  const { error } = body as { readonly error?: unknown }
  return typeof error === 'string' ? error : `the gateway answered with status ${status}`
}

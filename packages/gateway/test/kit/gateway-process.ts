import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url))

type Line = Readonly<Record<string, unknown>>

/** The gateway as a process of its own, with one SMTP listener on a port that the system chose. */
export class GatewayProcess implements AsyncDisposable {
  readonly folder: string = mkdtempSync(join(tmpdir(), 'postern-supervisor-'))
  readonly lines: Line[] = []
  readonly child: ChildProcess
  readonly #news: AsyncIterator<string>

  /** @param workers - worker processes. */
  constructor(workers: number) {
    const configFile = join(this.folder, 'postern.toml')
    writeFileSync(join(this.folder, 'accounts.toml'), '', { mode: 0o600 })
    writeFileSync(configFile, configuration(workers))
    this.child = spawn(process.execPath, ['--conditions=@postern/source', main, 'serve', '-c', configFile], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    this.#news = createInterface({ input: this.child.stdout! })[Symbol.asyncIterator]()
  }

  /** Resolves with the next line of this event. */
  async logged(event: string): Promise<Line> {
    for (;;) {
      const { value, done } = await this.#news.next()
      if (done === true) throw new Error(`the log ended before ${event}:\n${JSON.stringify(this.lines, undefined, 1)}`)
      const line = JSON.parse(value) as Line
      this.lines.push(line)
      if (line['event'] === event) return line
    }
  }

  async port(): Promise<number> {
    const { listeners } = await this.logged('gateway.ready')
    return (listeners as readonly { readonly port: number }[])[0]?.port ?? 0
  }

  /** `proc(5)`: the worker processes. */
  workers(): readonly number[] {
    const { pid } = this.child
    const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim()
    return text === '' ? [] : text.split(' ').map(Number)
  }

  /** One of them. */
  worker(): number {
    const [pid] = this.workers()
    if (pid === undefined) throw new Error('no worker runs')
    return pid
  }

  /** The exit status, or the signal that ended it. */
  async ended(): Promise<number | string> {
    if (this.child.exitCode === null && this.child.signalCode === null) await once(this.child, 'exit')
    return this.child.exitCode ?? this.child.signalCode ?? 'unknown'
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.child.kill('SIGKILL')
    await this.ended()
    rmSync(this.folder, { recursive: true })
  }
}

function configuration(workers: number): string {
  return `
[server]
hostname = "mx.example.org"
workers = ${workers}
data-dir = "data"
[listener.mx]
protocol = "smtp"
bind = "127.0.0.1:0"
tls = "off"
[accounts]
file = "accounts.toml"
[smtp]
local-domains = ["example.org"]
[admin]
bind = "off"
`
}

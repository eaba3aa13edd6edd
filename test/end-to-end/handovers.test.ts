/*
 * Reloads, and supervisors replaced by their successors, under load: the client counts what was lost. In CI a few of
 * each; the figure that docs/operations.md has comes from
 *
 *   POSTERN_RELOADS=1000 POSTERN_UPGRADES=50 npx vitest run --project end-to-end handovers
 */
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { tellFigure } from '../faults/figure.ts'
import { perTier } from '../faults/tier.ts'
import { listener } from '../kit/configuration.ts'
import { Dialogue } from '../kit/dialogue.ts'
import { temporaryFolder } from '../kit/folder.ts'
import { command, prepareFolder, startGateway, type Gateway } from '../kit/gateway.ts'
import { eventually } from '../kit/patience.ts'
import { freePorts } from '../kit/ports.ts'
import { start } from '../kit/run.ts'
import { startVisitors, type Visits } from '../kit/visitors.ts'

const reloads = Number(process.env['POSTERN_RELOADS'] ?? 2)
const upgrades = Number(process.env['POSTERN_UPGRADES'] ?? perTier({ change: 2, nightly: 10, release: 20 }))
const perRunMs = 180_000

let gateway: Gateway
let ports: Record<'admin' | 'mx', number>
/** The supervisor that serves now. */
let running: number | undefined

beforeAll(async () => {
  ports = await freePorts('admin', 'mx')
  const config = [
    listener('mx', { protocol: 'smtp', bind: ports.mx, mode: 'off' }),
    '[limits]\ndrain-timeout = "30s"',
    // Lines of a million connections would be all that is measured.
    '[policy]\ndeny = ["192.0.2.1"]\nignored-hosts = ["127.0.0.1"]',
  ].join('\n\n')
  gateway = await startGateway({ config, adminPort: ports.admin })
})
afterAll(async () => {
  if (running !== undefined && running !== gateway.pid && isRunning(running)) process.kill(running, 'SIGKILL')
  await gateway?.stop()
})

interface State {
  readonly pid: number
  readonly health: { readonly status: string }
  readonly totals: { readonly accepted: number }
}

/** Nobody, while no supervisor answers. */
async function state(): Promise<State | undefined> {
  try {
    const response = await fetch(`http://127.0.0.1:${ports.admin}/status`, { headers: { connection: 'close' } })
    return (await response.json()) as State
  } catch {
    return undefined
  }
}

async function reloadsDone(): Promise<number> {
  const response = await fetch(`http://127.0.0.1:${ports.admin}/metrics`, { headers: { connection: 'close' } })
  return Number(/^postern_reloads_total\{outcome="done"\} (\d+)$/m.exec(await response.text())?.[1] ?? 0)
}

function tell(what: string, { served, lost }: Visits, sinceMs: number): void {
  const seconds = ((performance.now() - sinceMs) / 1000).toFixed(1)
  tellFigure(`${what} in ${seconds} s: ${served} connections served, ${lost.length} lost`)
}

test(`X5: ${reloads} reloads under load lose no connection`, { timeout: perRunMs + reloads * 30_000 }, async () => {
  const began = performance.now()
  const visitors = startVisitors(ports.mx, 8)
  for (let done = 1; done <= reloads; done++) {
    gateway.rewriteConfig((text) => text.replace(/deny = \[.*\]/, `deny = ["192.0.2.${done % 250}"]`))
    gateway.signal('SIGHUP')
    await eventually('the reload', async () => ((await reloadsDone()) >= done ? true : undefined), 120_000)
  }
  const visits = await visitors.stop()
  tell(`${reloads} reloads`, visits, began)
  expect(visits.lost).toEqual([])
  expect(visits.served).toBeGreaterThan(100)
})

test(
  `OP-03, X5: ${upgrades} supervisors replaced under load, and one that fails, lose no connection, and sessions outlive them`,
  {
    timeout: perRunMs + upgrades * 30_000,
  },
  async () => {
    const began = performance.now()
    const before = (await state())?.totals.accepted ?? 0
    const resting = await Dialogue.connect(ports.mx)
    await resting.reply()
    const visitors = startVisitors(ports.mx, 8)
    const replies: number[] = []
    let { pid } = gateway
    // The next version does not start: this one goes on as if nothing had been.
    gateway.rewriteConfig((text) => text.replace('[limits]', '[limits]\nno-such-limit = 1'))
    process.kill(pid, 'SIGUSR2')
    await gateway.waitForLog('that it goes on', ({ event }) => event === 'gateway.upgrade-failed', 60_000)
    gateway.rewriteConfig((text) => text.replace('no-such-limit = 1\n', ''))
    expect((await state())?.pid).toBe(pid)
    for (let done = 1; done <= upgrades; done++) {
      process.kill(pid, 'SIGUSR2')
      const next = await eventually(
        'the next supervisor',
        async () => {
          const now = await state()
          return now !== undefined && now.pid !== pid && now.health.status === 'ok' ? now : undefined
        },
        120_000,
      )
      pid = next.pid
      running = pid
      if (done === 1) replies.push((await resting.ask('NOOP')).code, (await resting.ask('QUIT')).code)
    }
    const visits = await visitors.stop()
    tell(`${upgrades} upgrades, and one that failed,`, visits, began)
    expect(visits.lost).toEqual([])
    expect(visits.served).toBeGreaterThan(100)
    expect(replies).toEqual([250, 221])
    // Counts outlive the process that held them: what the last second of each worker had is told before it ends.
    await eventually('the counts of all of them', async () =>
      ((await state())?.totals.accepted ?? 0) >= before + visits.served ? true : undefined,
    )
    await eventually('the first supervisor to end', () => (isRunning(gateway.pid) ? undefined : true), 60_000)
    process.kill(pid, 'SIGTERM')
    await eventually('the last supervisor to end', () => (isRunning(pid) ? undefined : true), 60_000)
  },
)

const isRoot = process.getuid?.() === 0

test.skipIf(!isRoot)('started by root it binds, and goes on as server.user with no right of root’s', async () => {
  const { low, admin } = await freePorts('low', 'admin')
  const folder = temporaryFolder('dropped')
  const config = `${listener('mx', { protocol: 'smtp', bind: low, mode: 'off' })}
[server]
user = "nobody"
hostname = "mx.example.org"
workers = 1
data-dir = "data"`
  const { configFile } = await prepareFolder({ config, adminPort: admin, folder })
  execFileSync('chown', ['-R', 'nobody', folder])
  const child = start(process.execPath, [command, 'serve', '-c', configFile], { cwd: folder })
  const client = await eventually('a greeting', () => Dialogue.connect(low).catch(() => undefined), 60_000)
  expect((await client.reply()).code).toBe(220)
  const nobody = execFileSync('id', ['-u', 'nobody'], { encoding: 'utf8' }).trim()
  const children = readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8').trim().split(' ')
  for (const pid of [String(child.pid), ...children]) {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8')
    expect(status).toMatch(new RegExp(`^Uid:\\s+${nobody}\\s+${nobody}\\s+${nobody}\\s`, 'm'))
    expect(status).toMatch(/^CapEff:\s+0+$/m)
    expect(status).toMatch(/^Groups:\s+(?!0 )\d+ ?$/m)
  }
  client.destroy()
  child.kill('SIGTERM')
  await once(child, 'exit')
})

/** A zombie has ended, and waits only for its parent to look. */
function isRunning(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}

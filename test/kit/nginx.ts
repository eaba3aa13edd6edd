import { mkdirSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { temporaryFolder } from './folder.ts'
import { eventually, within } from './patience.ts'
import { nginxStreamModule, requirePeer } from './peers.ts'
import { start } from './run.ts'

export interface Nginx {
  readonly stop: () => Promise<void>
}

/** Runs nginx in the foreground, as one process with a prefix of its own, with this configuration. */
export async function startNginx(configuration: string, port: number): Promise<Nginx> {
  requirePeer('nginx')
  const prefix = temporaryFolder('nginx')
  mkdirSync(join(prefix, 'logs'))
  const file = join(prefix, 'nginx.conf')
  const foreground = 'daemon off;\nmaster_process off;\npid nginx.pid;\nerror_log stderr;\n'
  writeFileSync(file, `${nginxStreamModule()}\n${foreground}\n${configuration}\n`)

  const child = start('nginx', ['-p', prefix, '-c', file, '-e', 'stderr'])
  let said = ''
  let isRunning = true
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (chunk: Buffer) => (said += chunk.toString()))
  const ended = new Promise<void>((resolve) => {
    child.once('close', () => {
      isRunning = false
      resolve()
    })
  })

  await eventually(`nginx to listen on ${port}`, async () => {
    if (!isRunning) throw new Error(`nginx did not start:\n${said}`)
    return (await listens(port)) ? true : undefined
  })
  return {
    stop: async () => {
      child.kill('SIGTERM')
      await within(5_000, 'nginx to stop', ended).catch(async () => {
        child.kill('SIGKILL')
        await ended
      })
    },
  }
}

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port })
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => {
      resolve(false)
    })
  })
}

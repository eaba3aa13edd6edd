import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { listens, startDaemon } from './daemon.ts'
import { temporaryFolder } from './folder.ts'
import { nginxStreamModule, requirePeer } from './peers.ts'

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

  const nginx = startDaemon('nginx', ['nginx', ['-p', prefix, '-c', file, '-e', 'stderr']])
  await nginx.found(`nginx to listen on ${port}`, () => listens(port))
  return { stop: () => nginx.stop() }
}

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { temporaryFolder } from './folder.ts'
import { eventually } from './patience.ts'
import { requirePeer } from './peers.ts'

/** Debian's rspamd with one worker and no rules but its test patterns, on loopback. */
export interface Rspamd {
  readonly url: string
  /** What it wrote: one line for each message, with the client and the envelope that it was told. */
  readonly log: () => string
  readonly stop: () => Promise<void>
}

export async function startRspamd(port: number): Promise<Rspamd> {
  requirePeer('rspamd')
  const folder = temporaryFolder('rspamd')
  // Its own list of domains takes half a minute to compile.
  writeFileSync(join(folder, 'domains'), 'example\norg\n')
  const file = join(folder, 'rspamd.conf')
  writeFileSync(
    file,
    `options {
  pidfile = "${folder}/pid";
  tempdir = "${folder}";
  control_socket = "${folder}/control mode=0600";
  filters = "";
  disable_hyperscan = true;
  enable_test_patterns = true;
  gtube_patterns = "all";
  url_tld = "${folder}/domains";
  dns { nameserver = ["127.0.0.1:9"]; timeout = 0.1; retransmits = 1; }
}
logging { type = "console"; level = "info"; }
worker "normal" { bind_socket = "127.0.0.1:${port}"; count = 1; }
actions { reject = 15; rewrite_subject = 8; add_header = 6; greylist = 4; }
`,
  )
  const args = process.getuid?.() === 0 ? ['-i', '-u', 'root', '-g', 'root'] : []
  // Never SIGKILL: its workers would outlive it.
  const child = spawn('rspamd', ['-f', ...args, '-c', file], { stdio: ['ignore', 'pipe', 'pipe'] })
  const terminate = (): void => void child.kill('SIGTERM')
  process.once('exit', terminate)
  process.once('SIGTERM', terminate)
  let log = ''
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (chunk: Buffer) => (log += chunk.toString()))
  const url = `http://127.0.0.1:${port}`
  await eventually('rspamd to answer', async () => {
    try {
      return (await fetch(`${url}/ping`)).ok ? true : undefined
    } catch {
      return undefined
    }
  })
  const stop = async (): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return
    terminate()
    await once(child, 'close')
  }
  return { url, log: () => log, stop }
}

/** GTUBE, and its kin that ask for other actions. */
export function testPattern(action: 'reject' | 'add header' | 'rewrite subject'): string {
  const first = { reject: 'X', 'add header': 'Y', 'rewrite subject': 'Z' }[action]
  return `${first}JS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X`
}

// RS-06: the clock of the system jumps under a running gateway: sessions, timeouts and rates go by the steady one.
import { globSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { listener } from '../kit/configuration.ts'
import { Dialogue } from '../kit/dialogue.ts'
import { temporaryFolder } from '../kit/folder.ts'
import { ann, startGateway } from '../kit/gateway.ts'
import { heldTogether } from '../kit/held-together.ts'
import { eventually } from '../kit/patience.ts'
import { requirePeer } from '../kit/peers.ts'
import { freePorts } from '../kit/ports.ts'
import { tellFigure } from './figure.ts'

const hour = 3_600
const jumps: readonly (readonly [name: string, seconds: number])[] = [
  ['an hour on', hour],
  ['an hour back', -hour],
  ['ten years on', 87_600 * hour],
  ['ten years back', -87_600 * hour],
]

test('RS-06, ST-08: the clock jumps by hours and years, both ways', async () => {
  requirePeer('faketime')
  const [library] = globSync('/usr/lib/*/faketime/libfaketimeMT.so.1')
  if (library === undefined) throw new Error('libfaketime is not where its package has it')
  const offset = join(temporaryFolder('clock'), 'offset')
  const jump = (seconds: number): void => writeFileSync(offset, `${seconds < 0 ? '' : '+'}${seconds}\n`)
  jump(0)
  const ports = await freePorts('admin', 'smtp')
  const tables = [
    listener('mx', { protocol: 'smtp', bind: ports.smtp, mode: 'off' }),
    // So many as come before the jumps: over it for as long as the test takes, whatever the clock says.
    '[policy.rate]\nconnections-per-client = "5/10m"',
    '[policy.concurrency]\nconnections-per-client = "unlimited"',
  ]
  const faked = {
    LD_PRELOAD: library,
    FAKETIME_TIMESTAMP_FILE: offset,
    FAKETIME_NO_CACHE: '1',
    FAKETIME_DONT_FAKE_MONOTONIC: '1',
  }
  const gateway = await startGateway({
    config: tables.join('\n\n'),
    adminPort: ports.admin,
    under: ['env', ...Object.entries(faked).map(([name, value]) => `${name}=${value}`)],
  })
  try {
    const workers = gateway.workers().join(' ')
    const mail = await Dialogue.connect(ports.smtp, { from: '127.0.4.1' })
    await mail.reply()
    await mail.ask('EHLO client.example')
    let many = ''
    const comes = async (from: string): Promise<string> => {
      const client = await Dialogue.connect(ports.smtp, { from, timeoutMs: 30_000 })
      const line = await client.line()
      client.destroy()
      return line.slice(0, 3)
    }
    const expected = ['220', '220', '220', '220', '220', '421']
    const found = await heldTogether(gateway, expected, async (round) => {
      many = `127.0.4.${200 + round}`
      const heard: string[] = []
      for (let n = 0; n < 6; n++) heard.push(await comes(many))
      return heard
    })
    expect(found).toEqual(expected)
    const dates: string[] = []
    for (const [index, [name, seconds]] of jumps.entries()) {
      jump(seconds)
      const codes = [(await mail.ask('NOOP')).code]
      await mail.ask('MAIL FROM:<a@example.net>')
      await mail.ask(`RCPT TO:<${ann.name}>`)
      await mail.ask('DATA')
      codes.push((await mail.ask(`Subject: ${name}\r\n\r\nx\r\n.`)).code)
      const greetings = [await comes(`127.0.4.${10 + index}`), await comes(many)]
      expect([name, codes, greetings]).toEqual([name, [250, 250], ['220', '421']])
      // The workers live in the time that they are told of, or nothing of this is shown.
      const years = new Date(Date.now() + seconds * 1000).getUTCFullYear()
      await eventually('a line of the log of that time', () =>
        gateway.log.some(({ time }) => new Date(Number(time)).getUTCFullYear() === years) ? true : undefined,
      )
      dates.push(`${years}`)
    }
    mail.destroy()
    expect(gateway.workers().join(' ')).toBe(workers)
    const files = globSync(join(gateway.folder, 'data/mail', ann.name, '**/new/*'))
    expect(files.length).toBe(jumps.length)
    tellFigure(`${jumps.length} jumps, to ${dates.join(', ')}: ${files.length} messages, 0 sessions lost, limits held`)
  } finally {
    await gateway.stop()
  }
})

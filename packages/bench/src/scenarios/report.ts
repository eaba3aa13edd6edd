/*
 * Everything, measured in one run and written down: raw figures, a page to read and a page to look at.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { measureConnections } from '../connection/run-connection.ts'
import { measureParse } from '../micro/run-parse.ts'
import { cpuBars, latencyCurves, renderPage, scalingPlots, type Section } from '../page/page.ts'
import { setting, type Setting } from '../report.ts'
import { hasCommand } from '../peers/contestants.ts'
import { renderAdmin, runAdmin } from './admin.ts'
import { connectionAims, parseAims, renderDesign, smtpAims, type DesignReport } from './design.ts'
import { renderImap, runImap } from './imap.ts'
import { renderScaling, runScaling } from './scaling.ts'
import { renderSmtp, runSmtp } from './smtp.ts'
import { renderValidation, runValidation } from './validate.ts'

export interface ReportOptions {
  readonly folder: string
  readonly isQuick: boolean
  readonly onProgress: (text: string) => void
}

/** Measures everything, and writes `raw.json`, `README.md` and `index.html` into the folder. */
export async function writeReport({ folder, isQuick, onProgress }: ReportOptions): Promise<void> {
  const where = setting()
  const contestOptions = { rounds: isQuick ? 3 : 5, seconds: isQuick ? 1 : 2, warmupSeconds: 0.3, onProgress }
  onProgress('PROXY headers')
  const parse = await measureParse({ rounds: 15, roundMs: isQuick ? 10 : 20 })
  onProgress('connections')
  const connections = await measureConnections({
    rounds: isQuick ? 5 : 11,
    connections: isQuick ? 400 : 1_000,
    atOnce: 8,
    cargo: 'nothing',
  })
  const smtp = await runSmtp({ ...contestOptions, connections: 32, workers: [1, 2], only: [], idleConnections: 5_000 })
  const imap = await runImap({
    ...contestOptions,
    users: 16,
    messages: isQuick ? 200 : 1_000,
    connections: 16,
    workers: [1, 2],
    idleConnections: 1_000,
  })
  const scaling = await runScaling({ isQuick, onProgress })
  onProgress('the admin endpoint')
  const admin = await runAdmin(isQuick ? 3 : 10)
  const validation = hasCommand('smtp-source')
    ? await runValidation({ rounds: 3, seconds: isQuick ? 1 : 2, onProgress })
    : undefined
  const design: DesignReport = {
    setting: where,
    aims: [...parseAims(parse), ...connectionAims(connections), ...smtpAims(smtp)],
    profiles: [],
  }
  const sections: readonly Section[] = [
    {
      title: 'SMTP in',
      about:
        'Server CPU for a message against smtp-server in the same round: 2 means twice the mail for the same CPU. smtp-sink is C and keeps nothing.',
      plots: [...cpuBars(smtp.rows, 'smtp-server'), ...latencyCurves(smtp.rows)],
      text: renderSmtp(smtp),
    },
    {
      title: 'IMAP',
      about: 'Server CPU for a command against Dovecot on the same mail, in the same round.',
      plots: cpuBars(imap.rows, 'dovecot'),
      text: renderImap(imap),
    },
    {
      title: 'Scaling',
      about: 'How the cost of one operation grows. A flat line is the aim; workers share the cores that there are.',
      plots: scalingPlots(scaling.series),
      text: renderScaling(scaling),
    },
    {
      title: 'The admin endpoint under load',
      about: 'autocannon against it, alone and while mail comes in.',
      plots: [],
      text: renderAdmin(admin),
    },
    ...(validation === undefined
      ? []
      : [
          {
            title: 'Is the generator to be believed?',
            about: 'The same work by this generator and by smtp-source, and the most that one thread of it can do.',
            plots: [],
            text: renderValidation(validation),
          },
        ]),
  ]
  mkdirSync(folder, { recursive: true })
  const raw = { setting: where, parse, connections, smtp, imap, scaling, admin, validation, aims: design.aims }
  writeFileSync(join(folder, 'raw.json'), `${JSON.stringify(raw, undefined, 1)}\n`)
  writeFileSync(join(folder, 'README.md'), markdown(where, design, sections, isQuick))
  writeFileSync(join(folder, 'index.html'), renderPage('Postern, measured', where, design.aims, sections))
}

function markdown(where: Setting, design: DesignReport, sections: readonly Section[], isQuick: boolean): string {
  const command = `npm run bench -- report${isQuick ? ' --quick' : ''}`
  return [
    `# Benchmarks of ${where.date.slice(0, 10)}`,
    '',
    `Commit ${where.commit}, Node ${where.node}, ${where.cores} × ${where.cpu}. Made by \`${command}\` in one run on one machine,`,
    'which the load generator shared with the servers. [index.html](index.html) has the plots, [raw.json](raw.json) every figure.',
    '',
    '## Aims',
    '',
    block(renderDesign(design)),
    ...sections.flatMap(({ title, about, text }) => [`## ${title}`, '', about, '', block(text)]),
  ].join('\n')
}

function block(text: string): string {
  return `\`\`\`text\n${text.trimEnd()}\n\`\`\`\n`
}

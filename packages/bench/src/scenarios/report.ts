/*
 * Everything, measured in one run and written down: raw figures, a page to read and a page to look at.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { measureConnections } from '../connection/run-connection.ts'
import { measureParse } from '../micro/run-parse.ts'
import { cpuBars, latencyCurves, renderPage, scalingPlots, type Section } from '../page/page.ts'
import { setting, type Setting } from '../report.ts'
import { renderAdmin, runAdmin } from './admin.ts'
import { renderCompare, runCompare } from './compare.ts'
import { connectionAims, parseAims, renderDesign, smtpAims, type DesignReport } from './design.ts'
import { renderImap, runImap } from './imap.ts'
import { renderRelay, runRelay } from './relay.ts'
import { renderScaling, runScaling } from './scaling.ts'
import { renderSmtp, runSmtp } from './smtp.ts'
import { renderValidation, runValidation } from './validate.ts'

export interface ReportOptions {
  readonly folder: string
  readonly isQuick: boolean
  readonly onProgress: (text: string) => void
}

/**
 * Measures everything, and writes `raw.json`, `README.md` and `index.html` into the folder. A scenario that fails leaves
 * the others: its section says why.
 *
 * @returns the titles of those that failed.
 */
export async function writeReport({ folder, ...options }: ReportOptions): Promise<readonly string[]> {
  const where = setting()
  const { failed, measured } = await measureEverything(options)
  const { parse, connections, smtp } = measured
  const aims = [
    ...(parse.value === undefined ? [] : parseAims(parse.value)),
    ...(connections.value === undefined ? [] : connectionAims(connections.value)),
    ...(smtp.value === undefined ? [] : smtpAims(smtp.value)),
  ]
  const design: DesignReport = { setting: where, aims, profiles: [] }
  const sections = sectionsOf(measured)
  mkdirSync(folder, { recursive: true })
  const raw = { setting: where, aims, ...measured }
  writeFileSync(join(folder, 'raw.json'), `${JSON.stringify(raw, undefined, 1)}\n`)
  writeFileSync(join(folder, 'README.md'), markdown(where, design, sections, options.isQuick))
  writeFileSync(join(folder, 'index.html'), renderPage('Postern, measured', where, aims, sections))
  return failed
}

type Measured = Awaited<ReturnType<typeof measureEverything>>['measured']

/** In the order in which it is written down. */
async function measureEverything({ isQuick, onProgress }: Omit<ReportOptions, 'folder'>) {
  const contestOptions = { rounds: isQuick ? 3 : 5, seconds: isQuick ? 1 : 2, warmupSeconds: 0.3, onProgress }
  const failed: string[] = []
  const attempt = async <T>(title: string, measure: () => Promise<T>): Promise<Attempt<T>> => {
    onProgress(title)
    try {
      return { value: await measure() }
    } catch (error) {
      failed.push(title)
      return { failure: `It failed: ${String(error)}` }
    }
  }
  const parse = await attempt('PROXY headers', () => measureParse({ rounds: 15, roundMs: isQuick ? 10 : 20 }))
  const connections = await attempt('Connections', () =>
    measureConnections({
      rounds: isQuick ? 5 : 11,
      connections: isQuick ? 400 : 1_000,
      atOnce: 8,
      cargo: 'nothing',
    }),
  )
  const smtp = await attempt('SMTP in', () =>
    runSmtp({ ...contestOptions, connections: 32, workers: [1, 2], only: [], idleConnections: 5_000 }),
  )
  const imap = await attempt('IMAP', () =>
    runImap({
      ...contestOptions,
      users: 16,
      messages: isQuick ? 200 : 1_000,
      connections: 16,
      workers: [1, 2],
      idleConnections: 5_000,
    }),
  )
  const compared = await attempt('All servers', () => runCompare(contestOptions))
  const relay = await attempt('A hop to a backend', () => runRelay({ ...contestOptions, connections: 16 }))
  const scaling = await attempt('Scaling', () => runScaling({ isQuick, onProgress }))
  const admin = await attempt('The admin endpoint under load', () => runAdmin(isQuick ? 3 : 10))
  const validation = await attempt('Is the generator to be believed?', () =>
    runValidation({ rounds: 3, seconds: isQuick ? 1 : 2, onProgress }),
  )
  return { failed, measured: { parse, connections, smtp, imap, compared, relay, scaling, admin, validation } }
}

function sectionsOf({ smtp, imap, compared, relay, scaling, admin, validation }: Measured): readonly Section[] {
  return [
    {
      title: 'SMTP in',
      about:
        'Server CPU for a message against smtp-server in the same round: 2 means twice the mail for the same CPU. smtp-sink is C and keeps nothing.',
      plots:
        smtp.value === undefined ? [] : [...cpuBars(smtp.value.rows, 'smtp-server'), ...latencyCurves(smtp.value.rows)],
      text: textOf(smtp, renderSmtp),
    },
    {
      title: 'IMAP',
      about: 'Server CPU for a command against Dovecot on the same mail, in the same round.',
      plots: imap.value === undefined ? [] : cpuBars(imap.value.rows, 'dovecot'),
      text: textOf(imap, renderImap),
    },
    {
      title: 'All servers',
      about: 'A connection with a PROXY header, and a message, by everything that is installed.',
      plots: compared.value === undefined ? [] : cpuBars(compared.value.rows, 'postern gateway'),
      text: textOf(compared, renderCompare),
    },
    {
      title: 'A hop to a backend',
      about: 'Server CPU of what stands between a client and its backend, against nginx in the same round.',
      plots: relay.value === undefined ? [] : cpuBars(relay.value.rows, 'nginx mail'),
      text: textOf(relay, renderRelay),
    },
    {
      title: 'Scaling',
      about: 'How the cost of one operation grows. A flat line is the aim; workers share the cores that there are.',
      plots: scaling.value === undefined ? [] : scalingPlots(scaling.value.series),
      text: textOf(scaling, renderScaling),
    },
    {
      title: 'The admin endpoint under load',
      about: 'autocannon against it, alone and while mail comes in.',
      plots: [],
      text: textOf(admin, renderAdmin),
    },
    {
      title: 'Is the generator to be believed?',
      about: 'The same work by this generator and by smtp-source, and the most that one thread of it can do.',
      plots: [],
      text: textOf(validation, renderValidation),
    },
  ]
}

/** What a scenario gave, or why it gave nothing. */
interface Attempt<T> {
  readonly value?: T
  readonly failure?: string
}

function textOf<T>({ value, failure = '' }: Attempt<T>, render: (value: T) => string): string {
  return value === undefined ? failure : render(value)
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

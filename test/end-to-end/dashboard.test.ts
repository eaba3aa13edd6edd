// The dashboard in a real browser, while mail flows: one gateway and one browser for the whole file, and the tests go on from
// each other. `SCREENSHOT=file.png` keeps a picture of it.
import { writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { complaintsOf, startBrowser } from '../kit/browser.ts'
import { listener } from '../kit/configuration.ts'
import { Dialogue } from '../kit/dialogue.ts'
import { temporaryFolder } from '../kit/folder.ts'
import { ann, startGateway, type Gateway } from '../kit/gateway.ts'
import { freePorts } from '../kit/ports.ts'
import { ends, v1, v2 } from '../kit/proxy-header.ts'

const token = 'the-token-of-this-test'
const patienceMs = 30_000
const ports = await freePorts('admin', 'mx', 'imap', 'nobody')
const address = `http://127.0.0.1:${ports.admin}`
let gateway: Gateway
let browser: Browser
let page: Page
let complaints: readonly string[]
const requests: string[] = []
const flow = new AbortController()
let mail: Promise<unknown>

beforeAll(async () => {
  const folder = temporaryFolder('dashboard')
  writeFileSync(join(folder, 'admin.token'), `${token}\n`, { mode: 0o600 })
  const config = [
    listener('mx', { protocol: 'smtp', bind: ports.mx, mode: 'require', trusted: ['127.0.0.1'] }),
    listener('imap', { protocol: 'imap', bind: ports.imap, mode: 'require', trusted: ['127.0.0.1'] }),
    `[admin]\nbind = "127.0.0.1:${ports.admin}"\ntoken-file = "admin.token"`,
    '[limits]\ndrain-notice = "2s"\ndrain-timeout = "5s"',
    `[upstream.inside]\nprotocol = "smtp"\nbackends = ["127.0.0.1:${ports.nobody}"]\nhealth = { interval = "500ms", fall = 1 }`,
    '[[route]]\nrecipients = ["inside.example.org"]\nto = "inside"',
    '[[route]]\nrecipients = ["example.org"]\nto = "store"',
  ].join('\n\n')
  ;[gateway, browser] = await Promise.all([startGateway({ config, adminPort: ports.admin, folder }), startBrowser()])
  mail = Promise.all([1, 2, 3].map(sendMail))
  page = await browser.newPage({ viewport: { width: 1280, height: 900 }, colorScheme: 'light' })
  page.setDefaultTimeout(patienceMs)
  complaints = complaintsOf(page)
  page.on('request', (request) => requests.push(request.url()))
  await page.goto(`${address}/`)
})
afterAll(async () => {
  flow.abort()
  await mail
  await browser?.close()
  await gateway?.stop()
})

/** One message after the other until the end, each from another client. */
async function sendMail(lane: number): Promise<void> {
  for (let round = 0; !flow.signal.aborted; round++) {
    const client = await Dialogue.connect(ports.mx)
    client.send(v2({ ...ends, source: `203.0.113.${(round % 60) * 4 + lane}` }))
    await client.reply()
    await client.ask('EHLO client.example.net')
    await client.ask('MAIL FROM:<bob@example.net>')
    await client.ask(`RCPT TO:<${round % 4 === 3 ? 'nobody@example.org' : ann.name}>`)
    if (round % 4 !== 3) {
      await client.ask('DATA')
      await client.ask('Subject: load\r\n\r\ntext\r\n.')
    }
    await client.ask('QUIT')
    await client.end()
  }
}

function outcome(): Promise<string | null> {
  return page.locator('#outcome').textContent()
}

/** The texts of a table's body, row by row. */
function rowsOf(id: string): Promise<string[][]> {
  return page.locator(`#${id} tbody tr`).evaluateAll((rows) =>
    // In the browser, whose types this project has not.
    (rows as unknown as { readonly cells: Iterable<{ readonly textContent: string }> }[]).map((row) =>
      [...row.cells].map(({ textContent }) => textContent),
    ),
  )
}

async function hasRow(id: string, ...words: readonly string[]): Promise<void> {
  await expect
    .poll(async () => (await rowsOf(id)).find((row) => words.every((word) => row.includes(word))), {
      timeout: patienceMs,
    })
    .toBeDefined()
}

describe('what it shows while mail flows', () => {
  test('listeners, workers and upstreams, alive', async () => {
    await hasRow('listener-table', 'mx', 'smtp', `127.0.0.1:${ports.mx}`, 'require from 127.0.0.1')
    await hasRow('worker-table', 'ready')
    expect(await rowsOf('worker-table')).toHaveLength(2)
    await hasRow('upstream-table', 'inside', `127.0.0.1:${ports.nobody}`, 'down')
    expect(await page.locator('#state').textContent()).toBe('ok')
    expect(await page.title()).toBe('mx.example.org – Postern')
    // Counted in one second, and more in the next.
    const total = async (): Promise<number> => Number((await rowsOf('listener-table'))[0]?.[6]?.replaceAll(/\D/g, ''))
    const before = await total()
    await expect.poll(total, { timeout: patienceMs }).toBeGreaterThan(before)
    await expect
      .poll(() => page.locator('#figures .figure').nth(3).textContent(), { timeout: patienceMs })
      .not.toMatch(/^[0–]$/)
    expect(await page.locator('#plots canvas').count()).toBe(4)
  })

  test('X1, W4: who was refused, why, and what mends it', async () => {
    const stranger = await Dialogue.connect(ports.mx, { from: '127.0.9.9' })
    stranger.send(v1())
    await stranger.reply()
    stranger.destroy()
    await hasRow('refusal-table', '127.0.9.9', 'mx', 'not-trusted')
    const [peer] = await page.locator('#refusal-table tr', { hasText: '127.0.9.9' }).allTextContents()
    expect(peer).toContain('add 127.0.9.9 to trusted-networks')
    await hasRow('refusal-table', 'unknown-recipient')
    // It is asked for every ten seconds.
    await page.reload()
    await hasRow('peer-table', '127.0.9.9', 'mx', 'is not trusted')
  })

  test('open sessions are found by the true client, with the keyboard alone', async () => {
    const client = await Dialogue.connect(ports.imap)
    client.send(v2({ ...ends, source: '192.0.2.77', sourcePort: 4711 }))
    await client.line()
    await page.getByRole('searchbox', { name: 'Search' }).focus()
    await page.keyboard.type('192.0.2.77')
    await hasRow('session-table', '192.0.2.77 port 4711', '127.0.0.1', 'v2', 'imap')
    await expect.poll(() => rowsOf('session-table').then((rows) => rows.length), { timeout: patienceMs }).toBe(1)
    expect(await page.locator('#session-count').textContent()).toBe('1 open')
    await hasRow('client-table', '192.0.2.77', '1')
    client.destroy()
  })

  test('C5: a header is decoded at a button’s press', async () => {
    const hex = v2().toString('hex')
    await page.getByLabel(/^Bytes in hexadecimal/).fill(`${hex.slice(0, 24)} ${hex.slice(24)}`)
    await page.getByRole('button', { name: 'Decode' }).click()
    const decoded = page.locator('#decoded')
    await expect.poll(() => decoded.textContent(), { timeout: patienceMs }).toContain('valid: PROXY protocol version 2')
    expect(await decoded.textContent()).toContain(`client ${ends.source}:${ends.sourcePort}`)
    await page.getByLabel(/^Bytes in hexadecimal/).fill('PROXY TCP4 203.0.113.7 192.0.2.1 99999 25')
    await page.getByRole('button', { name: 'Decode' }).press('Enter')
    await expect.poll(() => decoded.textContent(), { timeout: patienceMs }).toMatch(/^invalid: /)
  })

  test('everything came from the gateway itself, and nothing complained', async () => {
    const picture = process.env['SCREENSHOT']
    if (picture !== undefined) await page.screenshot({ path: picture })
    expect(requests.length).toBeGreaterThan(10)
    expect(requests.filter((url) => !url.startsWith(address) && !url.startsWith('data:'))).toEqual([])
    expect(complaints).toEqual([])
  })

  test('each table and field has its name, in light and in dark', async () => {
    for (const name of ['Listeners', 'Upstreams', 'Workers', 'Open sessions', 'Newest refused connections']) {
      await page.getByRole('heading', { name }).waitFor()
      await page.getByRole('region', { name, exact: true }).first().waitFor()
    }
    expect(await page.locator('input:not([id]), textarea:not([id])').count()).toBe(0)
    for (const id of await page
      .locator('input, textarea')
      .evaluateAll((fields) => fields.map((field) => (field as unknown as { readonly id: string }).id))) {
      expect(await page.locator(`label[for="${id}"]`).count()).toBe(1)
    }
    const paper = (): Promise<string> => page.evaluate('getComputedStyle(document.body).backgroundColor')
    const light = await paper()
    await page.emulateMedia({ colorScheme: 'dark' })
    expect(await paper()).not.toBe(light)
  })
})

describe('what a stranger cannot do with it', () => {
  test('whatever is told is shown as text', async () => {
    const hostile = '<img src=x onerror="document.title=1"><script>document.title=1</script>'
    const hostilePage = await browser.newPage()
    const moans = complaintsOf(hostilePage)
    const real = (await (await fetch(`${address}/status`)).json()) as object
    const poison = (value: unknown): unknown => {
      if (typeof value === 'string') return hostile
      if (Array.isArray(value)) return value.map(poison)
      if (typeof value !== 'object' || value === null) return value
      return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, poison(one)]))
    }
    const session = {
      id: 'a',
      listener: 'a',
      client: 'a',
      proxy: 'a',
      via: 'a',
      tls: 'a',
      username: 'a',
      commands: 1,
      seconds: 1,
    }
    const sessions = { matches: 1, sessions: [session], topClients: [{ client: 'a', connections: 1 }], missing: 0 }
    const news = JSON.stringify(poison(real))
    await hostilePage.route('**/status', (route) => route.fulfill({ body: news }))
    await hostilePage.route('**/sessions?*', (route) => route.fulfill({ body: JSON.stringify(poison(sessions)) }))
    await hostilePage.route('**/events', (route) =>
      route.fulfill({ contentType: 'text/event-stream', body: `event: news\ndata: ${news}\n\n` }),
    )
    await hostilePage.goto(`${address}/`)
    for (const id of [
      'listener-table',
      'upstream-table',
      'worker-table',
      'refusal-table',
      'peer-table',
      'session-table',
      'client-table',
    ]) {
      await hostilePage.locator(`#${id} tbody td`, { hasText: hostile }).first().waitFor({ timeout: patienceMs })
    }
    expect(await hostilePage.locator('img, tbody script').count()).toBe(0)
    expect(await hostilePage.title()).toContain('<img')
    expect(moans).toEqual([])
    await hostilePage.close()
  })

  test('a page of another origin can neither frame it nor act', async () => {
    const server = createServer((_request, response) => {
      response.setHeader('content-type', 'text/html')
      response.end(`<iframe src="${address}/"></iframe><script>
        fetch('${address}/reload', { method: 'POST', mode: 'no-cors', headers: { authorization: 'Bearer ${token}' } })
          .finally(() => (document.title = 'tried'))</script>`)
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const other = await browser.newPage()
    await other.goto(`http://localhost:${(server.address() as AddressInfo).port}/`)
    await expect.poll(() => other.title(), { timeout: patienceMs }).toBe('tried')
    const framed = other.frames().find((frame) => frame !== other.mainFrame())
    expect(await framed?.locator('#state').count()).toBe(0)
    await other.close()
    server.close()
    expect(gateway.log.filter(({ event }) => event === 'gateway.reloaded')).toEqual([])
  })
})

describe('what an operator can do with the token', () => {
  test('nothing without it', async () => {
    await page.getByRole('button', { name: 'Reload' }).click()
    expect(await outcome()).toContain('The token is needed')
    await page.getByLabel('Token').fill('a-token-that-is-wrong')
    await page.getByRole('button', { name: 'Reload' }).click()
    await page.locator('#confirm').getByRole('button', { name: 'Reload' }).click()
    await expect.poll(outcome, { timeout: patienceMs }).toContain('not done: the token is needed')
    expect(gateway.log.filter(({ event }) => event === 'gateway.reloaded')).toEqual([])
  })

  test('reload, after a question that can be left', async () => {
    await page.getByLabel('Token').fill(token)
    await page.getByRole('button', { name: 'Reload' }).click()
    await page.keyboard.press('Escape')
    await page.getByRole('button', { name: 'Reload' }).press('Enter')
    await page.locator('#confirm').getByRole('button', { name: 'Reload' }).press('Enter')
    await gateway.waitForLog('the reload', ({ event }) => event === 'gateway.reloaded')
    await expect.poll(outcome, { timeout: patienceMs }).toBe('Reload: done')
  })

  test('drain: the page tells that health checks fail, then that nobody is there', async () => {
    flow.abort()
    await mail
    // What it shows for a second only is seen as well.
    await page.evaluate(`globalThis.statesSeen = []
      new MutationObserver((changes) => {
        for (const { addedNodes } of changes) for (const { textContent } of addedNodes) statesSeen.push(textContent)
      }).observe(document.getElementById('state'), { childList: true })`)
    await page.getByRole('button', { name: 'Drain' }).click()
    await page.locator('#confirm').getByRole('button', { name: 'Drain and stop' }).click()
    await expect.poll(outcome, { timeout: patienceMs }).toBe('Drain and stop: leaving, within 7 s')
    const state = page.locator('#state')
    await expect.poll(() => state.textContent(), { timeout: patienceMs }).toMatch(/^no connection to the gateway/)
    expect(await page.evaluate<string[]>('statesSeen')).toContain('unavailable: leaving')
  })
})

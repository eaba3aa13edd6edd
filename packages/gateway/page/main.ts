/*
 * The dashboard. `/events` tells each second what moves; the sessions and the whole status are asked for now and then, while
 * somebody looks. Nothing here is kept when the page is closed.
 */
import type { Refusal, Sessions, Status, StatusNews } from '@postern/gateway'
import { tokenHeaders, wireActions } from './actions.ts'
import { wireDecoder } from './decoder.ts'
import { byId, fillTable, setText, type Cell } from './dom.ts'
import { bytes, count, duration, rate, sum } from './format.ts'
import { Plots } from './plots.ts'
import { mergeRefusals } from './refusals.ts'
import { Rates, Series } from './series.ts'
import { clientRow, listenerRow, peerRows, refusalRow, sessionRow, upstreamRows, words, workerRow } from './tables.ts'

/** Rows that a browser lays out without being felt; the search finds the others. */
const maxRows = 200
/** Refusals of one reason, of a closed list of reasons: what happens rarely stays in sight beside what happens always. */
const maxRefusalsOfReason = 20
const sessionsEveryMs = 2000
const statusEveryMs = 10_000
const reconnectMs = 3000
const typingMs = 200

const series = new Series()
const listenerRates = new Rates()
let refusals: readonly Refusal[] = []

const table = (id: string): HTMLTableElement => byId(id, HTMLTableElement)

// ── what moves ──────────────────────────────────────────────────────────────

function showNews(news: StatusNews, plots: Plots): void {
  const { health, totals, listeners } = news
  series.add(news.at, totals)
  const rates = listenerRates.take(news.at, new Map(listeners.map(({ name, accepted }) => [name, accepted])))

  showState(health.status, health.status === 'ok' ? 'ok' : `unavailable: ${health.reasons.join('; ')}`)
  setText(byId('hostname', HTMLElement), news.hostname)
  setText(byId('version', HTMLElement), `Postern ${news.version}`)
  document.title = `${health.status === 'ok' ? '' : '✕ '}${news.hostname} – Postern`
  setText(byId('life', HTMLElement), `up ${duration(news.seconds)}, pid ${news.pid}`)
  showFigures(news)
  plots.show(series.moments)

  fillTable(
    table('listener-table'),
    listeners.map((listener) => listenerRow(listener, rates.get(listener.name))),
  )
  const upstreams = upstreamRows(health)
  byId('upstream-section', HTMLElement).hidden = upstreams.length === 0
  fillTable(table('upstream-table'), upstreams)
  fillTable(table('worker-table'), news.workers.map(workerRow))
  showRefusals(news.refusals)
}

function showState(state: string, text: string): void {
  const element = byId('state', HTMLElement)
  element.dataset['state'] = state
  setText(element, text)
}

interface Figure {
  readonly name: string
  readonly now: string
  readonly total: string
}

function showFigures({ totals }: StatusNews): void {
  const now = series.latest
  const refused = sum(totals.headersRefused) + sum(totals.refused)
  const messages = now && now.transactionsDone + now.transactionsDeferred + now.transactionsRefused
  const figures: readonly Figure[] = [
    { name: 'open', now: count(totals.open), total: 'connections' },
    { name: 'connections/s', now: perSecond(now?.accepted), total: `${count(totals.accepted)} in all` },
    { name: 'refused/s', now: perSecond(now?.refused), total: `${count(refused)} in all` },
    { name: 'messages/s', now: perSecond(messages), total: words(totals.transactions) || 'none yet' },
    { name: 'logins/s', now: perSecond(now?.logins), total: words(totals.authentications) || 'none yet' },
    { name: 'in/s', now: perSecond(now?.bytesIn, bytes), total: `${bytes(totals.bytesIn)} in all` },
    { name: 'out/s', now: perSecond(now?.bytesOut, bytes), total: `${bytes(totals.bytesOut)} in all` },
    { name: 'TLS', now: count(sum(totals.tls)), total: words(totals.tls) || 'none yet' },
  ]
  const list = byId('figures', HTMLElement)
  for (const [index, { name, now: figure, total }] of figures.entries()) {
    const group = list.children[index] ?? list.appendChild(newFigure(name))
    for (const [place, text] of [figure, total].entries()) {
      const element = group.children[place + 1]
      if (element instanceof HTMLElement) setText(element, text)
    }
  }
}

/** Before the second event nothing is known of a second. */
function perSecond(value: number | undefined, format = rate): string {
  return value === undefined ? '–' : format(value)
}

function newFigure(name: string): HTMLElement {
  const group = document.createElement('div')
  const term = document.createElement('dt')
  const figure = document.createElement('dd')
  const total = document.createElement('dd')
  term.textContent = name
  figure.className = 'figure'
  total.className = 'total'
  group.append(term, figure, total)
  return group
}

function showRefusals(some: readonly Refusal[]): void {
  refusals = mergeRefusals(some, refusals, maxRefusalsOfReason)
  byId('no-refusals', HTMLElement).hidden = refusals.length > 0
  fillTable(table('refusal-table'), refusals.map(refusalRow))
}

// ── what is asked for ───────────────────────────────────────────────────────

function showIdentity({ identity }: Status): void {
  const { proxied, health } = identity
  const versions = Object.entries(proxied)
    .map(([version, many]) => `${count(many)} of version ${version}`)
    .join(', ')
  const headers = `Headers taken for clients: ${versions || 'none'}; of balancers that spoke for themselves: ${count(health)}.`
  const peers = peerRows(identity)
  setText(
    byId('identity-sum', HTMLElement),
    peers.length === 0 ? `${headers} Every sender was trusted, and no trusted peer stayed silent.` : headers,
  )
  fillTable(table('peer-table'), peers.slice(0, maxRows))
}

function showSessions({ matches, sessions, topClients, missing }: Sessions): void {
  const rows: readonly (readonly Cell[])[] = sessions.slice(0, maxRows).map(sessionRow)
  fillTable(table('session-table'), rows)
  fillTable(table('client-table'), topClients.map(clientRow))
  const shown =
    rows.length < matches ? `the newest ${count(rows.length)} of ${count(matches)}` : `${count(matches)} open`
  const silent = missing === 0 ? '' : `, and ${missing} workers did not answer`
  setText(byId('session-count', HTMLElement), `${shown}${silent}`)
}

/** A gateway that is away is told by the events; here there is nothing to show then. */
async function ask<T>(path: string): Promise<T | undefined> {
  try {
    const response = await fetch(path, { headers: tokenHeaders() })
    return response.ok ? ((await response.json()) as T) : undefined
  } catch {
    return undefined
  }
}

async function askSessions(): Promise<void> {
  const { value } = byId('matching', HTMLInputElement)
  const found = await ask<Sessions>(`/sessions?matching=${encodeURIComponent(value)}`)
  // What was typed meanwhile has an answer of its own under way.
  if (found !== undefined && byId('matching', HTMLInputElement).value === value) showSessions(found)
}

/** Again and again, each time after the answer; not while nobody sees it. */
function keepAsking(everyMs: number, look: () => Promise<void>): void {
  const next = async (): Promise<void> => {
    if (document.visibilityState === 'visible') await look()
    setTimeout(() => void next(), everyMs)
  }
  void next()
}

// ── the stream ──────────────────────────────────────────────────────────────

function listen(onNews: (news: StatusNews) => void): void {
  const events = new EventSource('/events')
  events.addEventListener('news', (event) => onNews(JSON.parse((event as MessageEvent<string>).data) as StatusNews))
  events.addEventListener('error', () => {
    showState('unknown', 'no connection to the gateway, trying again')
    // A browser tries again by itself, but not after a refusal.
    if (events.readyState !== EventSource.CLOSED) return
    setTimeout(() => listen(onNews), reconnectMs)
  })
}

function start(): void {
  const plots = new Plots(byId('plots', HTMLElement))
  wireActions()
  wireDecoder()
  keepAsking(statusEveryMs, async () => {
    const status = await ask<Status>('/status')
    if (status === undefined) return
    showIdentity(status)
    // Those from before this page was opened, and from while the stream was away.
    showRefusals(status.refusals)
  })
  listen((news) => showNews(news, plots))
  keepAsking(sessionsEveryMs, askSessions)
  let typing: ReturnType<typeof setTimeout> | undefined
  byId('matching', HTMLInputElement).addEventListener('input', () => {
    clearTimeout(typing)
    typing = setTimeout(() => void askSessions(), typingMs)
  })
}

start()

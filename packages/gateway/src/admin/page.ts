/*
 * The dashboard's files. A closed list: what is not in it is not served, whatever the path says. The page is in `page/` of this
 * package, its script compiled into `dist/page/`, and uPlot comes from where it was installed, so that nothing is fetched from
 * elsewhere.
 */
import { readFile } from 'node:fs/promises'

export interface PageFile {
  readonly type: string
  readonly read: () => Promise<Buffer>
}

/**
 * For the page itself. Scripts and styles are this endpoint's files and nothing else: none in the page, none from elsewhere,
 * and no text becomes HTML (`require-trusted-types-for`). Nobody frames it, and its forms are sent nowhere.
 */
export const pagePolicy: string = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  'img-src data:',
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join('; ')

const script = 'text/javascript; charset=utf-8'
const style = 'text/css; charset=utf-8'

/** The same place from `src/` and from `dist/`. */
const packageFolder = new URL('../../', import.meta.url)
const scripts = ['actions', 'decoder', 'dom', 'format', 'main', 'plots', 'refusals', 'series', 'tables']

/** By path. */
export const pageFiles: ReadonlyMap<string, PageFile> = new Map([
  ['/', file('text/html; charset=utf-8', () => new URL('page/index.html', packageFolder))],
  ['/page/style.css', file(style, () => new URL('page/style.css', packageFolder))],
  ['/page/uplot.css', file(style, () => library('uplot/dist/uPlot.min.css'))],
  ['/page/uplot.js', file(script, () => library('uplot/dist/uPlot.esm.js'))],
  ...scripts.map(
    (name) => [`/page/${name}.js`, file(script, () => new URL(`dist/page/${name}.js`, packageFolder))] as const,
  ),
])

function library(path: string): URL {
  return new URL(import.meta.resolve(path))
}

/** Read once: the files of a running version do not change. */
function file(type: string, place: () => URL): PageFile {
  let content: Promise<Buffer> | undefined
  return { type, read: () => (content ??= readFile(place())) }
}

import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { inspectText } from '../../src/admin/inspect.ts'
import { pageFiles, pagePolicy } from '../../src/admin/page.ts'

const folder = join(import.meta.dirname, '../../page')

describe('the files of the dashboard', () => {
  test('are all there: each script that the page has, and no other', () => {
    const scripts = globSync('*.ts', { cwd: folder }).filter((name) => !name.endsWith('.d.ts'))
    const served = [...pageFiles.keys()].filter((path) => path.endsWith('.js') && path !== '/page/uplot.js')
    expect(served.sort()).toEqual(scripts.map((name) => `/page/${name.replace('.ts', '.js')}`).sort())
  })

  test.each(['/', '/page/style.css', '/page/uplot.css', '/page/uplot.js'])('%s can be read', async (path) => {
    expect((await pageFiles.get(path)?.read())?.length).toBeGreaterThan(500)
  })

  test('name nothing that is not served, and have neither script nor style within', () => {
    const html = readFileSync(join(folder, 'index.html'), 'utf8')
    const named = [...html.matchAll(/(?:href|src)="(?!#|data:|\/status")([^"]+)"/g)].map(([, path = '']) => path)
    expect(named.length).toBeGreaterThan(2)
    expect(named.filter((path) => !pageFiles.has(path))).toEqual([])
    expect(html).not.toMatch(/<style|style=|<script(?![^>]*src=)|\son\w+=/)
  })

  test('run under a policy that lets nothing else in', () => {
    expect(pagePolicy).toMatch(/^default-src 'none'; script-src 'self'; style-src 'self';/)
    expect(pagePolicy).toContain("frame-ancestors 'none'")
    expect(pagePolicy).toContain("require-trusted-types-for 'script'")
    expect(pagePolicy).not.toMatch(/unsafe|\*/)
  })
})

describe('C5: what is asked of the decoder', () => {
  test.each([
    ['a line as it is read', 'PROXY TCP4 203.0.113.7 192.0.2.1 4567 25', /^valid: PROXY protocol version 1/],
    ['a line with the end of a form', 'PROXY UNKNOWN\r\n', /^valid: PROXY protocol version 1/],
    ['digits with what dumps have between them', '0x50 0x52:4f,58 59', /^incomplete: /],
    ['digits of a header', '0d0a0d0a000d0a515549540a 20 00 0000', /^valid: PROXY protocol version 2/],
    ['bytes of something else', '474554', /^not a PROXY header/],
    ['escapes of a terminal', 'PROXY TCP4 \u001b[2J', /^invalid: /],
  ])('%s', (_, question, text) => {
    const answer = inspectText(question)
    expect('text' in answer ? answer.text : answer.error).toMatch(text)
    expect(JSON.stringify(answer)).not.toContain('\\u001b')
  })

  test.each([
    ['nothing', ''],
    ['half a byte', '0d0'],
    ['words', 'hello'],
  ])('%s is told', (_, question) => {
    expect(inspectText(question)).toEqual({ error: expect.stringMatching(/^it is neither/) })
  })
})

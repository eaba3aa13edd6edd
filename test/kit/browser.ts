import { chromium, type Browser, type Page } from 'playwright-core'
import { isRoot } from './root.ts'
import { peerPath } from './peers.ts'

/** Debian's Chromium, without a window. Its sandbox does not work for root. */
export function startBrowser(): Promise<Browser> {
  return chromium.launch({ executablePath: peerPath('chromium'), args: isRoot ? ['--no-sandbox'] : [] })
}

/** What a page complained about, the refusals of its own policy among it. */
export function complaintsOf(page: Page): readonly string[] {
  const complaints: string[] = []
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') complaints.push(message.text())
  })
  page.on('pageerror', (error) => complaints.push(error.message))
  return complaints
}

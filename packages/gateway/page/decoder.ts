import { byId, setText } from './dom.ts'

/** What `postern inspect` says of some bytes, in a form. The gateway reads them, and forgets them. */
export function wireDecoder(): void {
  const form = byId('decoder-form', HTMLFormElement)
  const decoded = byId('decoded', HTMLElement)
  form.addEventListener('submit', (event) => {
    event.preventDefault()
    void decode(byId('header', HTMLTextAreaElement).value).then((text) => setText(decoded, text))
  })
}

async function decode(written: string): Promise<string> {
  try {
    const response = await fetch('/inspect', {
      method: 'POST',
      headers: { 'content-type': 'text/plain' },
      body: written,
    })
    const answer = (await response.json()) as { readonly text?: string; readonly error?: string }
    return answer.text ?? `It cannot be read: ${answer.error ?? 'no reason was given'}.`
  } catch {
    return 'The gateway did not answer.'
  }
}

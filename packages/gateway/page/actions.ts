import { byId, setText } from './dom.ts'

interface Action {
  readonly path: '/reload' | '/drain'
  readonly question: string
  readonly verb: string
}

const actions: Readonly<Record<string, Action>> = {
  reload: {
    path: '/reload',
    verb: 'Reload',
    question:
      'Read the configuration again? With any problem in it nothing changes. Workers are replaced one after the other, and no connection is refused.',
  },
  drain: {
    path: '/drain',
    verb: 'Drain and stop',
    question:
      'Drain this gateway? Health checks fail from now on, sessions are finished, and then it stops. It can only be started again on its machine.',
  },
}

/** The two buttons that change something. They ask first, and send the token that stands in its field and is kept nowhere. */
export function wireActions(): void {
  const dialog = byId('confirm', HTMLDialogElement)
  const yes = byId('confirm-yes', HTMLButtonElement)
  byId('action-form', HTMLFormElement).addEventListener('submit', (event) => event.preventDefault())
  let chosen: Action | undefined
  for (const [id, action] of Object.entries(actions)) {
    byId(id, HTMLButtonElement).addEventListener('click', () => {
      const token = byId('token', HTMLInputElement)
      if (token.value === '') {
        tell('The token is needed: the word in admin.token-file.')
        token.focus()
        return
      }
      chosen = action
      setText(byId('confirm-question', HTMLElement), action.question)
      setText(yes, action.verb)
      dialog.showModal()
    })
  }
  byId('confirm-no', HTMLButtonElement).addEventListener('click', () => dialog.close())
  yes.addEventListener('click', () => {
    dialog.close()
    if (chosen !== undefined) void act(chosen)
  })
}

/** With it the sessions have the names of their users too. */
export function tokenHeaders(): Readonly<Record<string, string>> {
  const { value } = byId('token', HTMLInputElement)
  return value === '' ? {} : { authorization: `Bearer ${value}` }
}

async function act({ path, verb }: Action): Promise<void> {
  tell(`${verb}: under way`)
  try {
    const response = await fetch(path, { method: 'POST', headers: tokenHeaders() })
    tell(`${verb}: ${outcomeText((await response.json()) as Answer)}`)
  } catch {
    tell(`${verb}: the gateway did not answer`)
  }
}

interface Answer {
  readonly error?: string
  readonly outcome?: string
  readonly withinMs?: number
  readonly problems?: readonly {
    readonly file: string
    readonly line: number
    readonly path: string
    readonly expected: string
    readonly found: string
  }[]
}

function outcomeText({ error, outcome = 'done', withinMs, problems = [] }: Answer): string {
  if (error !== undefined) return `not done: ${error}`
  const wait = withinMs === undefined ? '' : `, within ${Math.round(withinMs / 1000)} s`
  const lines = problems.map(
    ({ file, line, path, expected, found }) => `\n${file}:${line}: ${path}: expected ${expected}; found ${found}`,
  )
  return `${outcome}${wait}${lines.join('')}`
}

function tell(text: string): void {
  setText(byId('outcome', HTMLElement), text)
}

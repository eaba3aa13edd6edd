// PO-09: whatever a client says before it is signed in, its backend hears one command, and the same words; or nothing.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { ProxySession } from './scripted.ts'

/** Pieces that end a string or a literal, or begin one, and now and then a line; and text that lies between them. */
const hostile = fc
  .array(
    fc.oneof(
      {
        weight: 4,
        arbitrary: fc.constantFrom('"', '\\', '{5}', '~{1}', '}', ')', '(', 'X LOGOUT', ' L OK ', '%', '*'),
      },
      { weight: 2, arbitrary: fc.string({ maxLength: 8 }).map((text) => Buffer.from(text).toString('latin1')) },
      { weight: 1, arbitrary: fc.constantFrom('\r\n', '\n', '\r', '\0', '{5+}\r\n') },
    ),
    { minLength: 1, maxLength: 8 },
  )
  .map((pieces) => pieces.join(''))

/** The ways that can hold anything. */
const ways: readonly ((name: string, password: string) => string)[] = [
  (name, password) => `a LOGIN ${literal(name)} ${literal(password)}\r\n`,
  (name, password) => `a AUTHENTICATE PLAIN ${Buffer.from(`\0${name}\0${password}`, 'latin1').toString('base64')}\r\n`,
]

function literal(text: string): string {
  return `{${text.length}+}\r\n${text}`
}

async function until(holds: () => boolean): Promise<void> {
  await expect.poll(holds, { interval: 1 }).toBe(true)
}

/** @returns what the backend heard up to the command that signs in; nothing, when the client was refused before. */
async function heardOf(id: string, login: string): Promise<string> {
  const session = new ProxySession({ backends: { announcesById: 'required' }, count: 2 })
  try {
    session.client.write(`i ID (${literal(id.slice(0, 30))} ${literal(id)})\r\n${login}`, 'latin1')
    const isRefused = (): boolean => /^a (?:NO|BAD)/m.test(session.text)
    await until(() => isRefused() || session.dialled.length > 0)
    const [backend] = session.dialled
    if (backend === undefined) return ''
    backend.stream.write('* OK [CAPABILITY IMAP4rev1 SASL-IR ID AUTH=PLAIN] ready\r\n')
    await until(() => isRefused() || /^L .*\r\n$/m.test(backend.text))
    return backend.text
  } finally {
    session.running.cut()
    session.client.destroy()
  }
}

const quotedString = String.raw`"(?:[^"\\\r\n]|\\["\\])*"`
const idCommand = new RegExp(String.raw`^I ID \((?:${quotedString} ?)+\)$`)
const loginCommand = new RegExp(`^L LOGIN (${quotedString}) (${quotedString})$`)
const saslCommand = /^L AUTHENTICATE PLAIN ([A-Za-z\d+/=]+)$/

/** As the backend reads it. */
function unquoted(text = ''): string {
  return text.slice(1, -1).replaceAll(/\\(.)/g, '$1')
}

/** Name and password, when it was one ID and one command that signs in, and nothing else. */
function signedInAs(heard: string): readonly string[] | undefined {
  const [id = '', login = '', end, ...more] = heard.split('\r\n')
  if (!idCommand.test(id) || end !== '' || more.length > 0) return undefined
  const sasl = saslCommand.exec(login)?.[1]
  if (sasl !== undefined) return Buffer.from(sasl, 'base64').toString('latin1').split('\0').slice(1)
  const words = loginCommand.exec(login)
  return words === null ? undefined : words.slice(1).map(unquoted)
}

test('PO-09: names, passwords and ID of any octets are one command of the backend', async () => {
  const reached: string[] = []
  await fc.assert(
    fc.asyncProperty(hostile, hostile, hostile, fc.constantFrom(...ways), async (name, password, id, way) => {
      const heard = await heardOf(id, way(name, password))
      if (heard === '') return
      reached.push(heard)
      expect(signedInAs(heard)).toEqual([name, password])
    }),
    { numRuns: 150 },
  )
  // What no command can hold is refused; or this would be a test of refusals alone.
  expect(reached.length).toBeGreaterThan(10)
})

import { StringDecoder } from 'node:string_decoder'
import { limits } from '../limits.ts'
import { exitStatus } from './exit-status.ts'
import { CommandFailure, type Terminal } from './terminal.ts'

/** The first line of a stream, without its line end; the whole of it when there is none. */
export async function readPasswordLine(input: Terminal['stdin']): Promise<string> {
  const decoder = new TextDecoder('utf-8', { fatal: true })
  let text = ''
  try {
    for await (const chunk of input) {
      text += typeof chunk === 'string' ? chunk : decoder.decode(chunk as Buffer, { stream: true })
      // As many characters would be too many bytes in any encoding: whatever follows cannot make it a password.
      if (text.includes('\n') || text.length > limits.maxPasswordBytes + 1) break
    }
    text += decoder.decode()
  } catch (error) {
    if (!(error instanceof TypeError)) throw error
    throw new CommandFailure(exitStatus.wrong, 'the password on standard input is not UTF-8')
  }
  const [line = ''] = text.split('\n')
  return line.endsWith('\r') ? line.slice(0, -1) : line
}

/** Asks on a terminal, and shows nothing of what is typed. */
export async function askPassword({ stdin, stderr }: Terminal, prompt: string): Promise<string> {
  stderr.write(prompt)
  stdin.setRawMode?.(true)
  const decoder = new StringDecoder('utf8')
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  let typed: string[] = []
  const onData = (chunk: Buffer | string): void => {
    for (const character of typeof chunk === 'string' ? chunk : decoder.write(chunk)) {
      if (character === '\r' || character === '\n' || character === key.endOfInput) resolve(typed.join(''))
      else if (character === key.interrupt) reject(new CommandFailure(interrupted, 'interrupted'))
      else if (character === key.backspace || character === key.delete) typed.pop()
      else if (character === key.eraseLine) typed = []
      else if (typed.length <= limits.maxPasswordBytes) typed.push(character)
    }
  }
  const onEnd = (): void => resolve(typed.join(''))
  stdin.on('data', onData)
  stdin.on('end', onEnd)
  stdin.resume()
  try {
    return await promise
  } finally {
    stdin.off('data', onData)
    stdin.off('end', onEnd)
    stdin.pause()
    stdin.setRawMode?.(false)
    stderr.write('\n')
  }
}

/** In raw mode the terminal does not edit, so the keys that do come here. */
const key = {
  interrupt: '\u0003',
  endOfInput: '\u0004',
  backspace: '\b',
  delete: '\u007f',
  eraseLine: '\u0015',
} as const

/** As a shell reports a command that SIGINT ended. */
const interrupted = 130

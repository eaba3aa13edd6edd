import type { ImapLimits } from '../limits.ts'
import { Tokens } from './tokens.ts'

/** The head of a command. `args` stands behind the name, before the space of the first argument. */
export interface Command {
  readonly tag: string
  /** Upper case; `UID FETCH` and its like are one name. */
  readonly name: string
  readonly args: Tokens
}

/** The line is no command. `tag` is present when at least that could be read, so the client can tell what failed. */
export interface MalformedCommand {
  readonly tag: string | undefined
  readonly name: undefined
}

/** `command = tag SP (command-any / command-auth / command-nonauth / command-select) CRLF` */
export function parseCommand(text: string, limits: ImapLimits): Command | MalformedCommand {
  const args = new Tokens(text, limits)
  const tag = args.tag()
  if (tag === undefined || tag.length > limits.maxTagBytes) return { tag: undefined, name: undefined }
  if (!args.take(' ')) return { tag: args.isAtEnd ? tag : undefined, name: undefined }
  const first = args.atom()?.toUpperCase()
  if (first === undefined || first.length > 32) return { tag, name: undefined }
  if (first !== 'UID') return { tag, name: first, args }
  const second = args.space() ? args.atom()?.toUpperCase() : undefined
  if (second === undefined || second.length > 32) return { tag, name: undefined }
  return { tag, name: `UID ${second}`, args }
}

import { describeError } from '../errors.ts'
import type { Command, MalformedCommand } from '../wire/command.ts'
import { bad, no, type Completion } from '../wire/response.ts'
import { refusedHere } from './commands/sign-in.ts'
import { commands, type CommandSpec } from './commands.ts'
import type { SessionState } from './state.ts'

/** The command's row in the table, or why it is refused: asked before a literal of it is taken, and before it runs. */
export function admit(state: SessionState, command: Command | MalformedCommand): CommandSpec | Completion {
  if (command.name === undefined) return bad('Command is malformed')
  const spec = commands.get(command.name)
  if (spec === undefined) {
    if (isTextHeader(command)) state.refused('PROXY', 'proxy-again', describeError('IMAP_PROXY_AGAIN'))
    return bad('Command is not known')
  }
  if (state.isHealthCheck && spec.isForHealthChecks !== true) {
    state.refused(command.name, 'health-check', describeError('IMAP_HEALTH_CHECK'))
    return no('Not for health checks', 'CANNOT')
  }
  if (!spec.in.includes(state.phase)) return bad('Command is not valid in this state')
  return (spec.sendsPassword === true ? refusedHere(state) : undefined) ?? spec
}

/** Only names of the table reach observers: a client makes up any other. */
export function verbOf(name: string | undefined): string {
  return name !== undefined && commands.has(name) ? name : 'UNKNOWN'
}

/** `PROXY TCP4 …`: as a command, its tag is PROXY. */
function isTextHeader({ tag, name }: Command): boolean {
  return tag === 'PROXY' && (name === 'TCP4' || name === 'TCP6' || name === 'UNKNOWN')
}

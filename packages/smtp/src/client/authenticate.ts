import { chooseSasl, type SaslClient } from '@postern/core'
import type { Reply } from '../wire/reply.ts'
import type { Capabilities } from './capabilities.ts'
import type { Securable, UpstreamDialogue } from './dialogue.ts'
import { sayOf, type UpstreamFailure } from './failures.ts'
import type { RelayOptions, UpstreamCredentials } from './options.ts'

/**
 * Signs in by the strongest mechanism that the backend offers and our credentials suit (RFC 4954).
 *
 * @returns why the backend cannot be used; nothing when we are signed in.
 */
export async function signIn(
  { dialogue, isSecure, tlsExporter }: Securable,
  credentials: UpstreamCredentials,
  capabilities: Capabilities,
  { mechanisms, authRequiresTls = true }: Pick<RelayOptions, 'mechanisms' | 'authRequiresTls'>,
): Promise<UpstreamFailure | undefined> {
  if (authRequiresTls && !isSecure) {
    return dialogue.fail('SMTP_UPSTREAM_TLS', 'credentials are not sent in the clear').failure
  }
  const offered = capabilities.get('AUTH') ?? []
  const usable = mechanisms === undefined ? offered : mechanisms.filter((mechanism) => offered.includes(mechanism))
  const client = chooseSasl(usable, credentials, tlsExporter)
  if (client !== undefined) return exchange(dialogue, client)
  return dialogue.fail('SMTP_UPSTREAM_AUTHENTICATION', 'no mechanism is offered that our credentials suit').failure
}

/** RFC 4954 §4: 334 and a challenge, until 235 says that we are signed in. */
async function exchange(dialogue: UpstreamDialogue, client: SaslClient): Promise<UpstreamFailure | undefined> {
  let { line, held } = opening(client)
  for (;;) {
    const answer = await dialogue.ask({
      command: `${line}\r\n`,
      patienceMs: dialogue.limits.replyPatienceMs,
      mayContinue: true,
    })
    if (!answer.ok) return answer.failure
    const { reply } = answer
    if (reply.code === 235 && client.isComplete && held === undefined) return undefined
    if (reply.code !== 334) return refused(dialogue, reply)
    if (held === undefined) {
      const next = await client.answer(reply.lines[0] ?? '')
      if (!next.ok) return dialogue.fail('SMTP_UPSTREAM_AUTHENTICATION', `AUTH: ${next.problem}`).failure
      line = next.response
    } else {
      line = held
      held = undefined
    }
  }
}

/**
 * RFC 4954 §4: an initial response that is empty is "=", and one that would make the command longer than a command may be
 * waits for the empty challenge.
 */
function opening({ mechanism, initial }: SaslClient): { line: string; held: string | undefined } {
  if (initial === undefined) return { line: `AUTH ${mechanism}`, held: undefined }
  const line = `AUTH ${mechanism} ${initial === '' ? '=' : initial}`
  return line.length + 2 <= maxCommandBytes ? { line, held: undefined } : { line: `AUTH ${mechanism}`, held: initial }
}

/** RFC 5321 §4.5.3.1.4, with CRLF. */
const maxCommandBytes = 512

function refused(dialogue: UpstreamDialogue, answer: Reply): UpstreamFailure {
  if (answer.code === 235) {
    return dialogue.fail('SMTP_UPSTREAM_AUTHENTICATION', 'AUTH: 235, before it was due').failure
  }
  // Without its text: a server may repeat there what it was told, and that is a password.
  const reply = { ...answer, lines: [] }
  return dialogue.fail('SMTP_UPSTREAM_AUTHENTICATION', `AUTH: ${sayOf(reply)}`, reply).failure
}

import type { Secret } from '@postern/core'
import type { Capabilities } from './capabilities.ts'
import type { UpstreamDialogue } from './dialogue.ts'
import { sayOf, type UpstreamFailure } from './failures.ts'
import type { Securable } from './opening.ts'

interface Credentials {
  readonly username: string
  readonly password: Secret
}

/**
 * Signs in by PLAIN (RFC 4616) or else LOGIN, which is all that most backends have beside it.
 *
 * @returns why the backend cannot be used; nothing when we are signed in.
 */
export async function signIn(
  { dialogue, isSecure }: Securable,
  { username, password }: Credentials,
  capabilities: Capabilities,
  requiresTls: boolean,
): Promise<UpstreamFailure | undefined> {
  if (requiresTls && !isSecure) {
    return dialogue.fail('SMTP_UPSTREAM_TLS', 'credentials are not sent in the clear').failure
  }
  const mechanisms = capabilities.get('AUTH') ?? []
  const plain = base64(`\0${username}\0${password.reveal()}`)
  if (mechanisms.includes('PLAIN')) return say(dialogue, [`AUTH PLAIN ${plain}`])
  if (mechanisms.includes('LOGIN')) {
    return say(dialogue, ['AUTH LOGIN', base64(username), base64(password.reveal())])
  }
  return dialogue.fail('SMTP_UPSTREAM_AUTHENTICATION', 'neither AUTH PLAIN nor LOGIN is offered').failure
}

/** RFC 4954 §4: each line but the last is answered 334, the last one 235. */
async function say(dialogue: UpstreamDialogue, lines: readonly string[]): Promise<UpstreamFailure | undefined> {
  for (const [index, line] of lines.entries()) {
    const isLast = index === lines.length - 1
    const answer = await dialogue.ask({
      command: `${line}\r\n`,
      patienceMs: dialogue.limits.replyPatienceMs,
      mayContinue: true,
    })
    if (!answer.ok) return answer.failure
    if (answer.reply.code !== (isLast ? 235 : 334)) {
      // Without its text: a server may repeat there what it was told, and that is a password.
      const reply = { ...answer.reply, lines: [] }
      return dialogue.fail('SMTP_UPSTREAM_AUTHENTICATION', `AUTH: ${sayOf(reply)}`, reply).failure
    }
  }
  return undefined
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64')
}

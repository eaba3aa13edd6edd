import { proxyLimits } from '../limits.ts'
import { DialogueError } from './backend-dialogue.ts'
import type { BackendLink, LoginBackends } from './backends.ts'
import { BackendConversation, Unusable } from './opening.ts'

/** What a look at a backend found. */
export type ImapInspection =
  | {
      readonly ok: true
      /** Behind STARTTLS, where that is spoken; as the backend wrote them. */
      readonly capabilities: readonly string[]
      readonly isSecure: boolean
    }
  /** Why nobody could sign in there; for the operator. */
  | { readonly ok: false; readonly detail: string }

/**
 * Looks at a backend as far as a login would come before its credentials, and takes leave. Never rejects.
 *
 * @param link - belongs to the look, and is closed by it.
 * @param signal - ends the look; it has no deadline of its own.
 */
export async function inspectImapBackend(
  link: BackendLink,
  tls: LoginBackends['tls'],
  signal: AbortSignal,
): Promise<ImapInspection> {
  const conversation = new BackendConversation(link, proxyLimits)
  try {
    await conversation.open(tls, signal)
    const { capabilities = [], link: opened } = conversation
    conversation.dialogue.send('Q LOGOUT\r\n')
    return { ok: true, capabilities, isSecure: opened.isSecure }
  } catch (error) {
    if (!(error instanceof DialogueError || error instanceof Unusable)) throw error
    return { ok: false, detail: error.message }
  } finally {
    conversation.dialogue.release()
    const { socket } = conversation.link
    socket.on('error', ignore)
    // LOGOUT is a courtesy; nobody waits for what is said to it.
    socket.end()
    socket.resume()
  }
}

function ignore(): void {}

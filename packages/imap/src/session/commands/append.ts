import type { MessageWriter, Uid, UidValidity } from '@postern/core'
import { BinaryUpload } from '../../message/binary-upload.ts'
import { CrlfNormalizer } from '../../message/line-ends.ts'
import { parseDateTime } from '../../wire/date-time.ts'
import { parseFlagList, settableFlags } from '../../wire/flags.ts'
import type { AnnouncedLiteral } from '../../wire/framing.ts'
import { bad, no, ok, type Completion } from '../../wire/response.ts'
import { encodeNumbers } from '../../wire/sequence-set.ts'
import { Tokens } from '../../wire/tokens.ts'
import { badArguments, mailboxNamed } from '../arguments.ts'
import { refusedAsTarget, type IncomingMessages, type Outcome } from '../outcome.ts'
import type { SessionState } from '../state.ts'
import { encodeRespelled } from './list.ts'

/** A whole APPEND line without a literal at its end holds no message. */
export function append(_state: SessionState, _args: Tokens): Outcome {
  return badArguments
}

/**
 * RFC 3501 section 6.3.11 and RFC 3502 section 6: `append = "APPEND" SP mailbox 1*append-message`, up to the first
 * message. Everything that can be refused is refused before the client sends it.
 *
 * @returns `'argument'` when the announced literal is not the message yet, but the name of the mailbox.
 */
export async function beginAppend(
  state: SessionState,
  args: Tokens,
  literal: AnnouncedLiteral,
): Promise<IncomingMessages | Completion | 'argument'> {
  if (!args.space()) return badArguments
  if (args.isAtEnd) return 'argument'
  const mailbox = args.astring()
  if (mailbox === undefined) return badArguments
  const argument = mailboxNamed(state, mailbox)
  const head = parseMessageHead(args)
  if (head === undefined) return badArguments
  if ('refusal' in argument) return argument.refusal
  const messages = new AppendedMessages(state, argument.name, argument.spelled)
  return (await messages.begin(head, literal)) ?? messages
}

interface MessageHead {
  readonly flags: readonly string[]
  readonly internalDate: Date | undefined
  /** `UTF8 (~{n}` was said (RFC 6855 section 4), and its parenthesis has to follow. */
  readonly isUtf8: boolean
}

/**
 * `append-message = [SP flag-list] [SP date-time] SP append-data`, up to the literal; `append-data = literal / literal8 /
 * "UTF8" SP "(" literal8 ")"`.
 */
function parseMessageHead(args: Tokens): MessageHead | undefined {
  if (!args.space()) return undefined
  const flags = args.text[args.at] === '(' ? parseFlagList(args) : []
  if (flags === undefined || (args.text[args.at] === ' ' && !args.space())) return undefined
  const dateText = args.text[args.at] === '"' ? args.string() : undefined
  if (dateText !== undefined && !args.space()) return undefined
  const internalDate = dateText === undefined ? undefined : parseDateTime(dateText)
  if (dateText !== undefined && internalDate === undefined) return undefined
  const isUtf8 = args.word('UTF8')
  if (isUtf8) return args.space() && args.take('(') && args.isAtEnd ? { flags, internalDate, isUtf8 } : undefined
  return args.isAtEnd && args.text.endsWith(' ') ? { flags, internalDate, isUtf8 } : undefined
}

/** The messages of one APPEND: all of them become visible at its end, or none. */
class AppendedMessages implements IncomingMessages {
  readonly #state: SessionState
  readonly #mailbox: string
  /** The other spelling in which the mailbox was named. */
  readonly #spelled: string | undefined
  readonly #writers: MessageWriter[] = []
  #lineEnds = new CrlfNormalizer()
  /** Set for a literal8. */
  #upload: BinaryUpload | undefined
  #refusal: Completion | undefined
  /** What has to follow the message under way. */
  #closing: '' | ')' = ''

  constructor(state: SessionState, mailbox: string, spelled: string | undefined) {
    this.#state = state
    this.#mailbox = mailbox
    this.#spelled = spelled
  }

  /** @returns the refusal, if it is refused. */
  async begin(head: MessageHead, literal: AnnouncedLiteral): Promise<Completion | undefined> {
    const { options, limits, signedIn } = this.#state
    if (head.isUtf8 && !(literal.isBinary && this.#state.enabled.has('UTF8=ACCEPT'))) return bad('UTF-8 is not enabled')
    if (literal.bytes > options.maxAppendBytes) return no('Message is too big', 'TOOBIG')
    if (literal.bytes === 0) return no('A message cannot be empty', 'CANNOT')
    const flags = settableFlags(head.flags, [], limits)
    if (flags === 'not-settable') return bad('A client cannot set this flag')
    if (flags === 'limit') return no('Too many keywords', 'LIMIT')
    const begun = await options.store.deliver(signedIn?.principal.account ?? '', this.#mailbox, {
      flags,
      internalDate: head.internalDate ?? options.now(),
      bytes: literal.bytes,
    })
    if (!begun.ok) return refusedAsTarget(begun.refusal)
    this.#writers.push(begun.value)
    this.#lineEnds = new CrlfNormalizer()
    this.#closing = head.isUtf8 ? ')' : ''
    this.#upload = literal.isBinary ? new BinaryUpload(limits) : undefined
    if (!this.#state.isOver) return undefined
    await this.abort()
    return no('The connection is gone')
  }

  async next(text: string, literal: AnnouncedLiteral): Promise<Completion | undefined> {
    const [first] = this.#writers
    if (first?.commitWith === undefined) return bad('One message is expected')
    const head = parseMessageHead(new Tokens(text.slice(this.#closing.length), this.#state.limits))
    if (head === undefined || !text.startsWith(this.#closing)) return badArguments
    if (this.#writers.length >= this.#state.limits.maxAppendMessages) return no('Too many messages', 'LIMIT')
    const refusal = await this.#endMessage()
    if (refusal !== undefined) return refusal
    // One that waits holds no open file.
    const prepared = await this.#writers.at(-1)?.prepare?.()
    return prepared?.ok === false ? refusedAsTarget(prepared.refusal) : this.begin(head, literal)
  }

  write(chunk: Buffer): ReturnType<MessageWriter['write']> {
    if (this.#upload !== undefined) return this.#pass(this.#upload.push(chunk))
    // CHAR8 is any octet but NUL (RFC 3501 section 9).
    if (chunk.includes(0)) this.#refusal = bad('NUL needs a literal8')
    return this.#pass(chunk)
  }

  async finish(rest: string): Promise<Completion> {
    const refusal = rest === this.#closing ? await this.#endMessage() : badArguments
    const completion = refusal ?? (await this.#commit())
    if (completion.status === 'OK') this.#state.write(encodeRespelled(this.#mailbox, this.#spelled))
    else await this.abort()
    return completion
  }

  async abort(): Promise<void> {
    for (const writer of this.#writers.splice(0)) await writer.abort()
  }

  #pass(bytes: Buffer): ReturnType<MessageWriter['write']> {
    return this.#writers.at(-1)?.write(this.#lineEnds.push(bytes))
  }

  /** @returns why the message that just ended cannot be taken. */
  async #endMessage(): Promise<Completion | undefined> {
    const upload = this.#upload
    if (upload !== undefined) {
      await this.#pass(upload.end())
      // RFC 3516 section 4.4: what can neither be kept nor encoded is refused.
      if (upload.hasStrayNul) this.#refusal = no('NUL in a part that is not binary', 'UNKNOWN-CTE')
    }
    return this.#refusal
  }

  async #commit(): Promise<Completion> {
    const [first, ...others] = this.#writers
    if (first === undefined) return badArguments
    if (others.length > 0 && first.commitWith !== undefined) {
      const committed = await first.commitWith(others)
      if (!committed.ok) return refusedAsTarget(committed.refusal)
      const { value } = committed
      if (value !== undefined) this.#noteOwn(value.uidValidity, value.uids)
      // RFC 4315 section 3: one APPENDUID for all of them, in their order.
      return value === undefined
        ? ok('Append completed')
        : ok('Append completed', `APPENDUID ${value.uidValidity} ${encodeNumbers(value.uids)}`)
    }
    const committed = await first.commit()
    if (!committed.ok) return refusedAsTarget(committed.refusal)
    const { value } = committed
    if (value !== undefined) this.#noteOwn(value.uidValidity, [value.uid])
    return value === undefined
      ? ok('Append completed')
      : ok('Append completed', `APPENDUID ${value.uidValidity} ${value.uid}`)
  }

  #noteOwn(uidValidity: UidValidity, uids: readonly Uid[]): void {
    this.#state.noteOwn(this.#mailbox, uidValidity, uids)
  }
}

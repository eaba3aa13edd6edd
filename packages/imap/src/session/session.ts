/*
 * The IMAP session as a machine (RFC 3501 section 3): bytes in, responses and a wish out. It takes one command at a time,
 * in order, and gives each exactly one tagged response, after the news that its command may carry.
 */
import type { Awaitable, CloseReason, ConnectionInfo, SessionContext, SessionMachine, Wish } from '@postern/core'
import { describeError } from '../errors.ts'
import { Handover } from '../proxy/handover.ts'
import type { EnteredBackend } from '../proxy/login.ts'
import { parseCommand, type Command, type MalformedCommand } from '../wire/command.ts'
import { CommandReader, type Frame } from '../wire/framing.ts'
import { bad, encodeCompletion, no, type Completion } from '../wire/response.ts'
import { admit, verbOf } from './admission.ts'
import { commands, type CommandSpec } from './commands.ts'
import { endsSession, Opening, tellProxyHeader } from './opening.ts'
import type { ImapSessionOptions } from './options.ts'
import { mailboxGone, type Conversation, type Finished, type IncomingMessages, type Outcome } from './outcome.ts'
import { refusalResponse } from './refusal.ts'
import { tellNews } from './news.ts'
import { NotificationOverflow } from './notifications.ts'
import { endSignedIn, SessionState, wantsNothing } from './state.ts'

/** Makes the machine that serves one connection; `runSession` of core runs it. */
export function createImapSession(context: SessionContext, options: ImapSessionOptions): SessionMachine {
  return new ImapSession(context, options)
}

/** A command whose end is still to come: the client's turn, the message it sends, or what must be skipped of it. */
type Pending =
  | { readonly as: 'conversation'; readonly command: Command; readonly next: Conversation }
  | { readonly as: 'messages'; readonly command: Command; readonly messages: IncomingMessages }
  | { readonly as: 'refused'; readonly tag: string; readonly name: string; readonly completion: Completion }

class ImapSession implements SessionMachine {
  readonly #state: SessionState
  readonly #reader: CommandReader
  readonly #opening = new Opening()
  #pending: Pending | undefined
  /** The client speaks with its backend, and nothing is read here any more. */
  #handover: Handover | undefined
  #badInARow = 0
  #isStopping = false
  /** Nobody pays for a moment that no policy has. */
  readonly #hasCommandPolicies: boolean
  #isCommandJudged = false

  constructor(context: SessionContext, options: ImapSessionOptions) {
    this.#hasCommandPolicies = options.policies.some((policy) => policy.onCommand !== undefined)
    this.#state = new SessionState(context, options)
    this.#reader = new CommandReader(this.#bounds())
  }

  // ── what the pump calls ───────────────────────────────────────────────────

  start(): Wish {
    this.#state.write(`* OK [CAPABILITY ${this.#state.capabilities()}] ${this.#state.options.hostname} ready\r\n`)
    return { next: 'read', patienceMs: this.#state.limits.loginPatienceMs }
  }

  async receive(bytes: Buffer): Promise<Wish> {
    const opening = this.#opening.take(bytes)
    if (opening === undefined) return this.#readOn(false)
    if (opening.isProxyHeader && endsSession(this.#state, opening.bytes)) return this.#refuseProxyHeader()
    this.#reader.feed(opening.bytes)
    const wish = await this.#run()
    this.#reader.release()
    return wish
  }

  secured(connection: ConnectionInfo): Wish {
    this.#state.startOver(connection)
    this.#reader.reset()
    this.#pending = undefined
    return this.#readOn(false)
  }

  async woken(): Promise<Wish> {
    if (this.#handover !== undefined) return this.#handover.woken()
    const { isIdling, wanted, selected } = this.#state
    // In the middle of a command its end tells all.
    if (this.#pending !== undefined && !isIdling) return this.#readOn(false)
    let hasTold = false
    if (selected !== undefined && (isIdling || wanted.atOnce !== 'nothing')) {
      if (!(await this.#state.look())) return this.#byeMailboxGone()
      // One change wakes all who idle there: others are answered between what each of them is told.
      await this.#state.turn()
      hasTold = await tellNews(this.#state, isIdling || wanted.atOnce === 'all')
    }
    await this.#tellOthers()
    if (isIdling) this.#state.selected?.rest()
    return this.#readOn(isIdling && hasTold)
  }

  /** RFC 5465 section 5.8: what is too much ends all notifications. */
  async #tellOthers(): Promise<void> {
    try {
      await this.#state.notifications?.tell()
    } catch (error) {
      if (!(error instanceof NotificationOverflow)) throw error
      this.#state.notify(undefined, wantsNothing)
      this.#state.write('* OK [NOTIFICATIONOVERFLOW] Too many mailboxes to watch\r\n')
    }
  }

  timedOut(): Wish {
    if (this.#handover !== undefined) return this.#handover.stopping()
    if (this.#state.isIdling) {
      this.#state.write('* OK Still here\r\n')
      return this.#readOn(true)
    }
    const text = this.#state.signedIn === undefined ? 'Login timed out' : 'Autologout, idle for too long'
    return this.#bye(text, 'timeout')
  }

  stopping(): Wish {
    if (this.#handover !== undefined) return this.#handover.stopping()
    // A message that is being received is worth waiting for.
    this.#isStopping = true
    return this.#pending?.as === 'messages' ? this.#readOn(false) : this.#leave()
  }

  failed(): void {
    // Inside a response the words would be read as part of a message: then only the close tells.
    if (this.#handover !== undefined) this.#handover.failed()
    else if (!this.#state.isInsideResponse) this.#state.write(this.#refusal('internal-error'))
  }

  async ended(_reason: CloseReason): Promise<void> {
    const { signedIn } = this.#state
    const pending = this.#pending
    this.#pending = undefined
    this.#state.isOver = true
    this.#state.signedIn = undefined
    this.#handover?.ended()
    this.#state.login?.abandon()
    this.#state.forgetAnnounced()
    this.#state.notifications?.end()
    try {
      if (pending?.as === 'messages') await pending.messages.abort()
      await this.#state.unselect()
    } finally {
      if (signedIn !== undefined) await endSignedIn(signedIn)
    }
  }

  // ── frames ────────────────────────────────────────────────────────────────

  async #run(): Promise<Wish> {
    for (let completed = false; ;) {
      const frame = this.#reader.next()
      if (frame.kind === 'more') return this.#readOn(completed || this.#pending?.as === 'messages')
      const wish = await this.#take(frame)
      if (wish !== undefined) return wish
      if (this.#isStopping && this.#pending === undefined) return this.#leave()
      completed ||= frame.kind !== 'literal'
      await this.#state.room()
    }
  }

  /** @returns what ends the reading, if anything. */
  #take(frame: Exclude<Frame, { kind: 'more' }>): Awaitable<Wish | undefined> {
    switch (frame.kind) {
      case 'command':
        return this.#pending?.as === 'conversation'
          ? this.#converse(this.#pending, frame.text)
          : this.#command(frame.text)
      case 'literal':
        return this.#literal(frame)
      case 'content':
        return this.#content(frame.bytes)
      case 'rest':
        return this.#endMessages(frame.text)
      case 'skipped':
        return this.#endSkipped()
      case 'overlong':
        return this.#overlong(frame.head)
      case 'lost':
        this.#state.refused('UNKNOWN', 'limit', describeError('IMAP_LITERAL_LOST'))
        return this.#bye('Command cannot be followed', 'protocol')
    }
    return undefined
  }

  async #command(text: string): Promise<Wish | undefined> {
    const command = parseCommand(text, this.#state.limits)
    const refused = this.#hasCommandPolicies ? await this.#refuseCommand(command) : undefined
    if (refused !== undefined) return refused
    const spec = admit(this.#state, command)
    if (!('run' in spec)) return this.#finish(command.tag, command.name, spec)
    if (command.name === undefined) return undefined
    this.#state.begin(command.tag)
    if (spec.looks === 'before') await this.#lookAndTell(spec)
    if (this.#state.isMailboxGone) return this.#finish(command.tag, command.name, mailboxGone)
    return this.#settle(command, spec, await spec.run(this.#state, command.args))
  }

  /**
   * What a policy has against one more command: it is the last. Asked once of each, whatever literals it has; a balancer that
   * looks whether we live is no client.
   */
  async #refuseCommand({ name }: Command | MalformedCommand): Promise<Wish | undefined> {
    const { connection, options, isHealthCheck } = this.#state
    if (this.#isCommandJudged || isHealthCheck) return undefined
    this.#isCommandJudged = true
    const verb = verbOf(name)
    for (const policy of options.policies) {
      const decision = (await policy.onCommand?.({ connection, verb })) ?? { verdict: 'pass' }
      if (decision.verdict === 'pass') continue
      const { reason, detail } = decision
      this.#state.refused(verb, reason, detail === undefined ? policy.name : `${policy.name}: ${detail}`)
      this.#state.write(refusalResponse(decision, options.hostname))
      return { next: 'close', reason: 'refused' }
    }
    return undefined
  }

  async #converse(
    { command, next }: Extract<Pending, { as: 'conversation' }>,
    line: string,
  ): Promise<Wish | undefined> {
    this.#pending = undefined
    this.#reader.expectsPlainLine = false
    const spec = commands.get(command.name)
    return spec === undefined ? undefined : this.#settle(command, spec, await next.onLine(line))
  }

  async #settle(command: Command, spec: CommandSpec, outcome: Outcome): Promise<Wish | undefined> {
    if ('onLine' in outcome) {
      this.#pending = { as: 'conversation', command, next: outcome }
      this.#reader.expectsPlainLine = true
      return undefined
    }
    // Behind the BYE of LOGOUT no mailbox is selected: an EXPUNGE would number messages of none.
    if (outcome.after?.next === 'close') return this.#finish(command.tag, command.name, outcome)
    if (spec.looks === 'after') await this.#lookAndTell(spec)
    else await this.#tell(spec)
    if (spec.onlyLooks === true && this.#state.isMailboxGone) return this.#byeMailboxGone()
    return this.#finish(command.tag, command.name, outcome)
  }

  async #lookAndTell(spec: Pick<CommandSpec, 'holdsExpunges'>): Promise<void> {
    if (await this.#state.look()) await this.#tell(spec)
  }

  /** The news that may be told with this command. */
  async #tell({ holdsExpunges }: Pick<CommandSpec, 'holdsExpunges'>): Promise<void> {
    const { selected, enabled } = this.#state
    if (selected === undefined) return
    await tellNews(this.#state, holdsExpunges !== true)
    // RFC 7162 section 3.2: modification sequences were told while an earlier expunge was not.
    if (selected.view.hasUntoldGone && enabled.has('QRESYNC')) this.#state.write(selected.highestModseqResponse())
  }

  // ── literals ──────────────────────────────────────────────────────────────

  async #literal(literal: Extract<Frame, { kind: 'literal' }>): Promise<Wish | undefined> {
    if (this.#pending?.as === 'messages') return this.#nextMessage(this.#pending, literal)
    const { head, bytes, isSync } = literal
    const { limits } = this.#state
    const command = parseCommand(head, limits)
    const refused = this.#hasCommandPolicies ? await this.#refuseCommand(command) : undefined
    if (refused !== undefined) return refused
    const spec = admit(this.#state, command)
    if (!('run' in spec)) return this.#refuseLiteral(command, spec)
    if (command.name === undefined) return undefined
    const isSignedIn = this.#state.signedIn !== undefined
    if (!isSync && !isSignedIn && bytes > limits.maxNonSyncLiteralBytes) {
      return this.#refuseLiteral(command, bad('Literal is too big to be sent without waiting', 'TOOBIG'))
    }
    if (spec.takesMessage !== undefined) {
      const begun = await spec.takesMessage(this.#state, command.args, literal)
      if (begun !== 'argument') {
        if ('status' in begun) return this.#refuseLiteral(command, begun)
        this.#pending = { as: 'messages', command, messages: begun }
        this.#takeMessage(isSync)
        return undefined
      }
    }
    if (literal.isBinary) return this.#refuseLiteral(command, bad('No literal8 is expected'))
    if (bytes > (isSignedIn ? limits.maxLiteralBytes : limits.maxLiteralBytesBeforeLogin)) {
      return this.#refuseLiteral(command, no('Literal is too big', 'TOOBIG'))
    }
    this.#reader.keepLiteral()
    if (isSync) this.#state.write('+ Ready for the literal\r\n')
    return undefined
  }

  /** Another message of the same APPEND (RFC 3502). */
  async #nextMessage(
    { command, messages }: Extract<Pending, { as: 'messages' }>,
    literal: Extract<Frame, { kind: 'literal' }>,
  ): Promise<Wish | undefined> {
    const refusal = await messages.next(literal.head, literal)
    if (refusal === undefined) {
      this.#takeMessage(literal.isSync)
      return undefined
    }
    this.#pending = undefined
    await messages.abort()
    return this.#refuseLiteral(command, refusal)
  }

  #takeMessage(isSync: boolean): void {
    this.#reader.streamLiteral()
    if (isSync) this.#state.write('+ Ready for the message\r\n')
  }

  #refuseLiteral({ tag, name }: Command | MalformedCommand, completion: Completion): Wish | undefined {
    if (completion.code === 'TOOBIG') this.#state.refused(verbOf(name), 'limit', describeError('IMAP_LITERAL_TOO_BIG'))
    if (this.#reader.refuseLiteral()) return this.#finish(tag, name, completion)
    this.#pending = { as: 'refused', tag: tag ?? '*', name: name ?? 'UNKNOWN', completion }
    return undefined
  }

  async #content(bytes: Buffer): Promise<undefined> {
    if (this.#pending?.as === 'messages') await this.#pending.messages.write(bytes)
  }

  async #endMessages(rest: string): Promise<Wish | undefined> {
    const pending = this.#pending
    if (pending?.as !== 'messages') return undefined
    const { command, messages } = pending
    const completion = await messages.finish(rest)
    this.#pending = undefined
    await this.#lookAndTell({})
    return this.#finish(command.tag, command.name, completion)
  }

  #endSkipped(): Wish | undefined {
    const pending = this.#pending
    if (pending?.as !== 'refused') return undefined
    this.#pending = undefined
    return this.#finish(pending.tag, pending.name, pending.completion)
  }

  #overlong(head: string): Wish | undefined {
    const { bounds } = this.#reader
    const { maxIdLineBytes } = this.#state.limits
    if (bounds.maxLineBytes < maxIdLineBytes && parseCommand(head, this.#state.limits).name === 'ID') {
      this.#reader.bounds = { ...bounds, maxLineBytes: maxIdLineBytes, maxCommandBytes: maxIdLineBytes }
      return undefined
    }
    this.#state.refused('UNKNOWN', 'limit', describeError('IMAP_LINE_TOO_LONG'))
    if (this.#state.signedIn === undefined || this.#pending !== undefined) {
      return this.#bye('Line is too long', 'protocol')
    }
    const { tag, name } = parseCommand(head, this.#state.limits)
    const completion = bad('Line is too long', 'TOOBIG')
    this.#pending = { as: 'refused', tag: tag ?? '*', name: name ?? 'UNKNOWN', completion }
    this.#reader.skipCommand()
    return undefined
  }

  // ── ends of commands ──────────────────────────────────────────────────────

  /** Writes the one tagged response, counts, and follows the outcome's wish. */
  #finish(tag: string | undefined, name: string | undefined, asked: Finished): Wish | undefined {
    this.#isCommandJudged = false
    const { connection, options, limits, signedIn } = this.#state
    // RFC 4978 section 3: what was sent behind COMPRESS may be compressed or not, and nobody can tell.
    const isTooEarly = asked.after?.next === 'compress' && this.#reader.isInsideCommand
    const outcome: Finished = isTooEarly ? bad('Nothing may be sent before the answer') : asked
    options.observer?.command?.({ connection, verb: verbOf(name), reply: outcome.status })
    if (outcome.after?.next === 'upgrade-tls' && this.#reader.isInsideCommand) return this.#injection()
    this.#state.write(encodeCompletion(tag ?? '*', outcome))
    this.#reader.bounds = this.#bounds()
    // What was hinted at meanwhile waited for this.
    if (this.#state.notifications?.hasHints === true) this.#state.wake()
    if (this.#state.isMailboxGone) return this.#byeMailboxGone()
    this.#badInARow = outcome.status === 'BAD' ? this.#badInARow + 1 : 0
    if (outcome.after?.next === 'upgrade-tls') return { next: 'upgrade-tls' }
    if (outcome.after?.next === 'hand-on') return this.#handOn(outcome.after)
    if (outcome.after?.next === 'compress') {
      this.#state.isCompressed = true
      return { next: 'compress', patienceMs: limits.autologoutMs }
    }
    if (outcome.after?.next === 'close') {
      const { reason, bye } = outcome.after
      return bye === undefined ? { next: 'close', reason } : this.#bye(bye, reason)
    }
    const maxBad = signedIn === undefined ? limits.maxBadCommandsBeforeLogin : limits.maxBadCommands
    if (this.#badInARow < maxBad) return undefined
    this.#state.refused(verbOf(name), 'limit', describeError('IMAP_TOO_MANY_BAD'))
    return this.#bye('Too many invalid commands', 'too-many-errors')
  }

  /** What the client has sent behind its login is the first that the backend gets. */
  #handOn({ backend, release }: { readonly backend: EnteredBackend; readonly release: () => void }): Wish {
    const { options, wake, output } = this.#state
    const write = (text: string): void => this.#state.write(text)
    this.#handover = new Handover(backend, { hostname: options.hostname, write, wake, release })
    if (this.#state.isOver) this.#handover.ended()
    if (backend.unread.length > 0) output.write(backend.unread)
    return { next: 'splice', splice: this.#handover.splice(this.#reader.takeUnread()) }
  }

  /** Bytes behind STARTTLS were put there by somebody between the client and us (CVE-2011-0411). */
  #injection(): Wish {
    this.#state.refused('STARTTLS', 'injection', describeError('IMAP_INJECTION'))
    return this.#bye('Nothing may follow STARTTLS', 'protocol')
  }

  #refuseProxyHeader(): Wish {
    this.#state.write(this.#refusal(tellProxyHeader(this.#state)))
    return { next: 'close', reason: 'refused' }
  }

  // ── wishes ────────────────────────────────────────────────────────────────

  /** @param isProgress - a command ended, or a message grew: the client's time begins anew. Before login it never does. */
  #readOn(isProgress: boolean): Wish {
    const { limits, signedIn, isIdling } = this.#state
    if (signedIn === undefined) {
      const afterMs = this.#state.delayMs
      this.#state.delayMs = 0
      const patienceMs = limits.loginPatienceMs
      const wish: Wish = this.#state.hasSignedOut
        ? { next: 'read', patienceMs }
        : { next: 'read', patienceMs, keepsDeadline: true }
      this.#state.hasSignedOut = false
      return afterMs === 0 ? wish : { ...wish, afterMs }
    }
    const patienceMs = isIdling ? limits.idleKeepAliveMs : limits.autologoutMs
    return isProgress ? { next: 'read', patienceMs } : { next: 'read', patienceMs, keepsDeadline: true }
  }

  #leave(): Wish {
    this.#state.write(this.#refusal('stopping'))
    return { next: 'close', reason: 'stopping' }
  }

  #byeMailboxGone(): Wish {
    return this.#bye('Selected mailbox was deleted', 'refused')
  }

  #bye(text: string, reason: CloseReason): Wish {
    this.#state.write(`* BYE ${text}\r\n`)
    return { next: 'close', reason }
  }

  #refusal(reason: 'proxy-untrusted' | 'proxy-malformed' | 'stopping' | 'internal-error'): string {
    return refusalResponse(reason, this.#state.options.hostname)
  }

  #bounds(): CommandReader['bounds'] {
    const { limits, signedIn, authenticator } = this.#state
    if (signedIn !== undefined) return limits
    const takesTokens = authenticator.verifyToken !== undefined
    const maxLineBytes = takesTokens ? limits.maxTokenLineBytes : limits.maxLineBytesBeforeLogin
    const twice = maxLineBytes * 2
    return { maxLineBytes, maxCommandBytes: twice, maxSkippedBytes: twice, maxSkippedLiteralBytes: twice }
  }
}

/*
 * The SMTP session as a machine (RFC 5321 §3 and §4): bytes in; replies, a wish and a patience out.
 *
 *   opening ──▶ command lines ──DATA──▶ message ──end of data──▶ command lines
 *                     ├──────BDAT────▶ chunk ──its last octet──▶ command lines
 *                     └──────AUTH────▶ answers to challenges ──▶ command lines
 *
 * A step runs through all that was received and writes the replies as it goes; they leave as one write, which is what
 * makes a pipelined group one segment (RFC 2920). It makes a promise only where something must be waited for.
 */
import { LineReader, type Awaitable, type CloseReason, type ConnectionInfo, type LineEvent } from '@postern/core'
import type { SessionContext, SessionMachine, Wish } from '@postern/core'
import { smtpErrors, type SmtpErrorCode } from '../errors.ts'
import { parseCommand } from '../wire/command.ts'
import { encodeReply, type Reply } from '../wire/reply.ts'
import type { Answer, Octets } from './answer.ts'
import { refusalAnswer } from './answer.ts'
import { after } from './awaitable.ts'
import { commandsOf, type Command } from './commands.ts'
import { withoutFrontEnd } from './commands/xclient.ts'
import { Dialogue } from './dialogue.ts'
import { faultAnswer, pathFaultAnswer } from './faults.ts'
import { isForeignLine, OpeningDetector } from './opening.ts'
import type { SessionOpening, SmtpSessionOptions } from './options.ts'
import { greetingReply, teaser } from './greeting.ts'
import { firstRefusal } from './policies.ts'
import { closingReply } from './refusal.ts'

/**
 * Makes the server side of one SMTP connection. Nothing is written before `start`.
 *
 * @param opening - matters only with a greeting that is delayed.
 */
export function createSmtpSession(
  context: SessionContext,
  options: SmtpSessionOptions,
  opening: SessionOpening = {},
): SessionMachine {
  return new SmtpSession(context, options, opening)
}

class SmtpSession implements SessionMachine {
  readonly #context: SessionContext
  readonly #dialogue: Dialogue
  readonly #reader: LineReader
  readonly #sessionOpening: SessionOpening
  /** Only before the first command, and only in what came in the clear. */
  #opening: OpeningDetector | undefined = new OpeningDetector()
  /** While the greeting waits: what came packed with the PROXY header, and how much of that may still come. */
  #early: { bytes: Buffer; readonly mayCome: number } | undefined
  /** What the client sends now is no command line. */
  #octets: Octets | undefined
  /** The call that waits for something, so that `ended` can let it settle. */
  #underWay: Promise<Wish> | undefined
  #isStopping = false
  #isOver = false
  /** Something was answered since the last wish, so the client gets its whole patience again. */
  #hasAnswered = false
  /** A command was refused since the last wish. */
  #hasErred = false
  /** Nobody pays for a moment that no policy has. */
  readonly #hasCommandPolicies: boolean
  /** Octets of the message since the deadline was set. */
  #blockBytes = 0
  /** Octets of a line that is too long, thrown away so far; -1 outside of one. */
  #skippedBytes = -1

  constructor(context: SessionContext, options: SmtpSessionOptions, opening: SessionOpening) {
    this.#context = context
    this.#sessionOpening = opening
    this.#dialogue = new Dialogue(context.connection, options)
    this.#hasCommandPolicies = options.policies.some((policy) => policy.onCommand !== undefined)
    this.#reader = new LineReader(this.#dialogue.limits.maxAuthLineBytes)
  }

  // ── the calls of the pump ─────────────────────────────────────────────────

  start(): Wish {
    const { greetingDelay } = this.#dialogue.options
    const { isGreetedAtOnce = false, bytesWithHeader = 0 } = this.#sessionOpening
    if (greetingDelay === undefined || isGreetedAtOnce || this.#dialogue.isBalancerItself) return this.#greet()
    this.#early = { bytes: nothing, mayCome: bytesWithHeader }
    if (greetingDelay.isTeasing === true) this.#context.output.write(teaser(this.#dialogue.options))
    return { next: 'read', patienceMs: greetingDelay.delayMs }
  }

  receive(bytes: Buffer): Awaitable<Wish> {
    if (this.#early !== undefined) return this.#receiveEarly(this.#early, bytes)
    if (this.#octets !== undefined) this.#blockBytes += bytes.length
    if (this.#skippedBytes !== -1) this.#skippedBytes += bytes.length
    const refused = this.#opening === undefined ? undefined : this.#open(this.#opening, bytes)
    if (refused !== undefined) return refused
    this.#reader.push(bytes)
    const wish = this.#run()
    if (wish instanceof Promise) this.#underWay = wish
    return wish
  }

  /** RFC 3207 §4.2: what was said in the clear is forgotten, what was sent behind STARTTLS thrown away. */
  secured(connection: ConnectionInfo): Wish {
    this.#reader.clear()
    this.#opening = undefined
    // XCLIENT in the clear said for whom the front end speaks, and TLS is with the front end.
    const { identity, clientNames } = this.#dialogue.connection
    const isAnnounced = this.#dialogue.admission !== undefined
    const { clientNames: _, ...secured } = isAnnounced ? withoutFrontEnd(connection) : connection
    this.#dialogue.startOver({ ...secured, identity, ...(clientNames !== undefined && { clientNames }) })
    this.#hasAnswered = true
    return this.#readWish()
  }

  /** SMTP speaks only when spoken to. */
  woken(): Wish {
    return this.#readWish()
  }

  timedOut(of: 'patience' | 'session'): Awaitable<Wish> {
    if (this.#early !== undefined && of === 'patience') return this.#greetAtLast(this.#early.bytes)
    const what = of === 'patience' ? 'Timeout' : 'Session too long'
    return this.#takeLeave(
      { code: 421, enhanced: '4.4.2', lines: [`${this.#hostname} ${what}, closing connection`] },
      'timeout',
    )
  }

  /** A transaction is finished first: its client would otherwise send it again. */
  stopping(): Wish {
    if (this.#dialogue.transaction === undefined) return this.#stop()
    this.#isStopping = true
    return this.#readWish()
  }

  failed(): void {
    this.#write(closingReply('internal-error', this.#hostname))
  }

  /** Waits for the call that runs, so that nothing is aborted in the middle of being committed. */
  async ended(): Promise<void> {
    this.#isOver = true
    try {
      await this.#underWay
    } catch {
      // The pump has met this failure itself; here only its end was waited for.
    }
    await this.#dialogue.endTransaction()
    this.#dialogue.admission?.release()
  }

  // ── one step ──────────────────────────────────────────────────────────────

  /** Runs through what was received. Stays in this loop as long as nothing must be waited for. */
  #run(): Awaitable<Wish> {
    for (;;) {
      const wish = this.#advance()
      if (wish instanceof Promise) return this.#runOn(wish)
      if (wish !== undefined) return wish
      if (this.#context.output.isFull) return this.#runOn(this.#drain())
    }
  }

  async #runOn(first: Promise<Wish | undefined>): Promise<Wish> {
    let wish = await first
    while (wish === undefined) {
      // The connection ended while something was waited for: what else it sent concerns nobody.
      if (this.#isOver) return { next: 'close', reason: 'connection-lost' }
      if (this.#context.output.isFull) await this.#drain()
      const next = this.#advance()
      wish = next instanceof Promise ? await next : next
    }
    return wish
  }

  async #drain(): Promise<undefined> {
    await this.#context.output.drained()
  }

  /** Takes one line, or one piece of the message. */
  #advance(): Awaitable<Wish | undefined> {
    const octets = this.#octets
    if (octets !== undefined) return this.#receiveOctets(octets)
    const line = this.#reader.next()
    if (line.kind === 'more') {
      if (this.#skippedBytes > this.#dialogue.limits.maxSkippedBytes) return this.#refuse('SMTP_ENDLESS_LINE')
      return this.#readWish()
    }
    this.#skippedBytes = -1
    const { exchange } = this.#dialogue
    if (exchange !== undefined) return this.#answerChallenge(line)
    const { overdrawn } = this.#dialogue.budget
    if (overdrawn !== undefined) return this.#sendAway(overdrawn)
    return this.#takeCommand(line)
  }

  // ── the greeting ──────────────────────────────────────────────────────────

  /** RFC 5321 §4.2: the greeting has no enhanced code (RFC 2034 §3). */
  #greet(): Wish {
    this.#write(greetingReply(this.#dialogue.options))
    this.#hasAnswered = true
    return this.#readWish()
  }

  /** The delay is over, and the client has waited for it. */
  #greetAtLast(early: Buffer): Awaitable<Wish> {
    this.#early = undefined
    const wish = this.#greet()
    return early.length === 0 ? wish : this.receive(early)
  }

  /** RFC 5321 §3.1: the client waits for the greeting. Nothing of what it sends before is a command. */
  #receiveEarly(early: { bytes: Buffer; readonly mayCome: number }, bytes: Buffer): Wish {
    if (early.bytes.length + bytes.length <= early.mayCome) {
      early.bytes = Buffer.concat([early.bytes, bytes])
      const { delayMs = 0 } = this.#dialogue.options.greetingDelay ?? {}
      return { next: 'read', patienceMs: delayMs, keepsDeadline: true }
    }
    // A header from a balancer that is not trusted deserves a better word.
    const refused = this.#opening === undefined ? undefined : this.#open(this.#opening, bytes)
    return refused?.next === 'close' ? refused : this.#refuse('SMTP_EARLY_TALKER')
  }

  // ── the first bytes ───────────────────────────────────────────────────────

  /** Answers a wish when these bytes open no SMTP session, or not enough of them have come. */
  #open(detector: OpeningDetector, bytes: Buffer): Wish | undefined {
    const opening = detector.detect(bytes)
    if (opening === undefined) return this.#readWish()
    this.#opening = undefined
    this.#reader.push(detector.earlier)
    const isDirect = this.#dialogue.connection.identity.origin === 'direct'
    if (opening === 'tls') return this.#refuse('SMTP_NOT_SMTP')
    if (opening === 'smtp' || (opening === 'proxy-v1' && !isDirect)) return undefined
    if (isDirect) {
      this.#tellRefused('UNKNOWN', 'proxy-untrusted', this.#untrustedMend())
      return this.#takeLeave(closingReply('proxy-untrusted', this.#hostname), 'refused')
    }
    // A binary header behind a header is no line of commands, so unlike a second text header it ends the session.
    this.#tellRefused('UNKNOWN', 'proxy-again', 'a second PROXY header came behind the first')
    return this.#takeLeave(closingReply('proxy-malformed', this.#hostname), 'refused')
  }

  #untrustedMend(): string {
    const { identity, listener } = this.#dialogue.connection
    return (
      `${identity.peer.address.toString()} sent a PROXY header but is in no trusted network of listener ${listener.name}; ` +
      'if it is your balancer, add it to trusted-networks'
    )
  }

  // ── command lines ─────────────────────────────────────────────────────────

  #takeCommand(line: Exclude<LineEvent, { readonly kind: 'more' }>): Awaitable<Wish | undefined> {
    const dialogue = this.#dialogue
    if (line.kind === 'too-long') return this.#tooLong('SMTP_LINE_LENGTH')
    const { verb, argument, fault } = parseCommand(line.bytes)
    const isTooLong = verb !== 'AUTH' && line.bytes.length + 2 > dialogue.limits.maxCommandLineBytes
    const oddEnd = this.#oddEnd(line.kind)
    // A chunk follows that nobody can count.
    if (verb === 'BDAT' && (isTooLong || oddEnd !== undefined)) return this.#settle(verb, faultAnswer('SMTP_CHUNK'))
    if (oddEnd !== undefined) return this.#settle('UNKNOWN', faultAnswer(oddEnd))
    // The bound of the reader is that of AUTH lines, the longest.
    if (isTooLong) return this.#tooLong('SMTP_LINE_LENGTH')
    const command = commandsOf(dialogue.options.mode).get(verb)
    const known = command === undefined ? 'UNKNOWN' : verb
    const isForeign = command === undefined && isForeignLine(line.bytes)
    return after(this.#refusalOfCommand(known), (refusal) => {
      if (refusal !== undefined) return this.#settle(known, refusal)
      if (command === undefined) {
        return isForeign ? this.#refuse('SMTP_NOT_SMTP') : this.#settle(known, this.#unknown(verb))
      }
      if (command.isIdle === true) dialogue.budget.countIdleCommand()
      const answer = this.#objection(verb, command, argument, fault) ?? command.run(dialogue, argument)
      return after(answer, (settled) => this.#settle(verb, settled))
    })
  }

  /** What a policy has against one more command: it is the last. A balancer that looks whether we live is no client. */
  #refusalOfCommand(verb: string): Awaitable<Answer | undefined> {
    const { connection, options, isBalancerItself } = this.#dialogue
    if (!this.#hasCommandPolicies || isBalancerItself) return undefined
    const asked = firstRefusal(options.policies, (policy) => policy.onCommand?.({ connection, verb }))
    return after(asked, (refusal) =>
      refusal === undefined
        ? undefined
        : { ...refusalAnswer(refusal, 'connect', this.#hostname), next: { close: 'refused' } },
    )
  }

  #oddEnd(kind: 'line' | 'bare-cr' | 'bare-lf'): 'SMTP_BARE_CR' | 'SMTP_BARE_LF' | undefined {
    if (kind === 'bare-cr') return 'SMTP_BARE_CR'
    const isLenient = (this.#dialogue.options.bareNewline ?? 'normalize') === 'normalize'
    return kind === 'bare-lf' && !isLenient ? 'SMTP_BARE_LF' : undefined
  }

  /** Why a known command is not run. */
  #objection(verb: string, command: Command, argument: string, fault: SmtpErrorCode | undefined): Answer | undefined {
    const dialogue = this.#dialogue
    if (command.endsPipeline === true && this.#reader.pendingBytes > 0) return faultAnswer('SMTP_PIPELINING')
    if (command.isForClients === true && dialogue.isBalancerItself) {
      const decision = { verdict: 'refuse', reason: 'health-check' } as const
      return refusalAnswer({ decision, by: 'a connection of the balancer itself' }, 'command', this.#hostname)
    }
    if (command.waitsForTls === true && dialogue.options.requiresTls === true && !dialogue.isSecure) {
      const decision = { verdict: 'refuse', reason: 'tls-required' } as const
      return refusalAnswer({ decision, by: `${verb} in the clear` }, 'command', this.#hostname)
    }
    if (fault !== undefined) {
      if (verb === 'BDAT') return faultAnswer('SMTP_CHUNK')
      if (verb === 'MAIL') return pathFaultAnswer(fault, 'sender')
      return verb === 'RCPT' ? pathFaultAnswer(fault, 'recipient') : faultAnswer(fault)
    }
    if (!command.in.includes(dialogue.state)) return faultAnswer('SMTP_SEQUENCE', hintFor(dialogue))
    if (command.takes === 'argument' && argument === '') return faultAnswer('SMTP_ARGUMENT_MISSING')
    if (command.takes === 'nothing' && argument !== '') return faultAnswer('SMTP_ARGUMENT_UNWANTED')
    return undefined
  }

  /** The verb of an unknown command is not told to the log: it may be a password that went astray. */
  #unknown(verb: string): Answer {
    const answer = faultAnswer('SMTP_UNKNOWN_COMMAND')
    if (verb !== 'PROXY' || this.#dialogue.connection.identity.origin === 'direct') return answer
    const detail = 'a PROXY line came after the header was honoured, or after the first command'
    return { ...answer, refused: { reason: 'proxy-again', detail } }
  }

  /** RFC 5321 §4.5.3.1.4: too long is 500, and what there is of it is never looked at. */
  #tooLong(code: 'SMTP_LINE_LENGTH' | 'SMTP_SASL_LENGTH'): Wish | undefined {
    this.#dialogue.budget.countOverlongLine()
    this.#skippedBytes = Math.max(0, this.#reader.pendingBytes - this.#reader.maxLineBytes)
    return this.#settle(code === 'SMTP_SASL_LENGTH' ? 'AUTH' : 'UNKNOWN', faultAnswer(code))
  }

  // ── AUTH ──────────────────────────────────────────────────────────────────

  #answerChallenge(line: Exclude<LineEvent, { readonly kind: 'more' }>): Awaitable<Wish | undefined> {
    const { exchange } = this.#dialogue
    this.#dialogue.exchange = undefined
    if (line.kind === 'too-long') return this.#tooLong('SMTP_SASL_LENGTH')
    if (line.kind === 'bare-cr' || exchange === undefined) return this.#settle('AUTH', faultAnswer('SMTP_BARE_CR'))
    return after(exchange.answer(line.bytes.toString('latin1')), (answer) => this.#settle('AUTH', answer))
  }

  // ── the message ───────────────────────────────────────────────────────────

  #receiveOctets(octets: Octets): Awaitable<Wish | undefined> {
    if (octets.isDone) return this.#finishOctets(octets)
    const bytes = this.#reader.take(Math.min(this.#reader.pendingBytes, octets.wants))
    if (bytes.length === 0) return this.#readWish()
    return after(octets.receive(bytes), () => {
      if (!octets.isDone) return undefined
      if (octets.consumed < bytes.length) this.#reader.push(bytes.subarray(octets.consumed))
      return this.#finishOctets(octets)
    })
  }

  #finishOctets(octets: Octets): Awaitable<Wish | undefined> {
    return after(octets.finish(), (answer) => {
      this.#octets = undefined
      return this.#settle(octets.verb, answer)
    })
  }

  // ── answers ───────────────────────────────────────────────────────────────

  /** Writes the reply, counts, tells the observer, and goes where the answer leads. */
  #settle(verb: string, answer: Answer): Wish | undefined {
    const { reply, refused } = answer
    const dialogue = this.#dialogue
    this.#hasAnswered = true
    if (refused !== undefined) this.#tellRefused(verb, refused.reason, refused.detail)
    if (reply !== undefined) {
      this.#write(reply)
      for (const further of answer.more ?? []) this.#write(further)
      if (isRefusal(reply, answer.more) && answer.isExcused !== true) {
        dialogue.budget.countError()
        this.#hasErred = true
      }
      if (!dialogue.isBalancerItself) {
        dialogue.options.observer?.command?.({ connection: dialogue.connection, verb, reply: firstLine(reply) })
      }
    }
    switch (answer.next) {
      case undefined:
        break
      case 'sasl':
        return undefined
      case 'upgrade-tls':
        return { next: 'upgrade-tls' }
      default:
        if ('close' in answer.next) return { next: 'close', reason: answer.next.close }
        this.#octets = answer.next.octets
        this.#blockBytes = 0
        return undefined
    }
    // RFC 5321 §3.8: 421 says that the connection is closed, whoever it came from.
    if (reply?.code === 421) return { next: 'close', reason: 'refused' }
    return this.#isStopping && dialogue.transaction === undefined ? this.#stop() : undefined
  }

  /** Answers a fault that ends the session. */
  #refuse(code: 'SMTP_ENDLESS_LINE' | 'SMTP_NOT_SMTP' | 'SMTP_EARLY_TALKER'): Wish {
    const { reply, refused } = faultAnswer(code)
    this.#tellRefused('UNKNOWN', refused?.reason ?? 'syntax', smtpErrors[code])
    return this.#takeLeave(reply, 'protocol')
  }

  #sendAway(cause: string): Wish {
    this.#tellRefused('UNKNOWN', 'limit', cause)
    return this.#takeLeave({ code: 421, enhanced: '4.7.0', lines: [`${this.#hostname} ${cause}`] }, 'too-many-errors')
  }

  #stop(): Wish {
    return this.#takeLeave(closingReply('stopping', this.#hostname), 'stopping')
  }

  #takeLeave(reply: Reply | undefined, reason: CloseReason): Wish {
    if (reply !== undefined) this.#write(reply)
    return { next: 'close', reason }
  }

  #write(reply: Reply): void {
    this.#context.output.write(encodeReply(reply))
  }

  #tellRefused(verb: string, reason: NonNullable<Answer['refused']>['reason'], detail: string): void {
    const { connection, options } = this.#dialogue
    options.observer?.refused?.({ connection, verb, reason, detail })
  }

  get #hostname(): string {
    return this.#dialogue.options.hostname
  }

  // ── patience ──────────────────────────────────────────────────────────────

  /** RFC 5321 §4.5.3.2: a deadline for each command and each block of a message; single bytes do not move it. */
  #readWish(): Wish {
    const { limits, hello } = this.#dialogue
    if (this.#octets !== undefined) {
      const blockBytes = (limits.minDataBytesPerSecond * limits.dataBlockPatienceMs) / 1000
      const keepsDeadline = !this.#hasAnswered && this.#blockBytes < blockBytes
      if (!keepsDeadline) this.#blockBytes = 0
      this.#hasAnswered = false
      return { next: 'read', patienceMs: limits.dataBlockPatienceMs, keepsDeadline }
    }
    const keepsDeadline = !this.#hasAnswered
    this.#hasAnswered = false
    const patienceMs = hello === undefined ? limits.firstCommandPatienceMs : limits.commandPatienceMs
    const afterMs = this.#hasErred ? this.#dialogue.budget.errorDelayMs : 0
    this.#hasErred = false
    return afterMs === 0
      ? { next: 'read', patienceMs, keepsDeadline }
      : { next: 'read', patienceMs, keepsDeadline, afterMs }
  }
}

/** Of several replies to a message none took it; 353 only says that they follow (PRDR). */
function isRefusal(reply: Reply, more: readonly Reply[] = []): boolean {
  return (reply.code >= 400 || reply.code === 353) && more.every(({ code }) => code >= 400)
}

const nothing = Buffer.alloc(0)

/** What to do instead of a command that may not come now. */
const hints = {
  ready: 'send MAIL first',
  mail: 'send RCPT or RSET first',
  rcpt: 'a transaction is open',
  chunks: 'send BDAT or RSET first',
} as const

function hintFor({ state, isLmtp }: Dialogue): string {
  if (state === 'greeted') return isLmtp ? 'send LHLO first' : 'send EHLO first'
  return hints[state]
}

function firstLine({ code, enhanced, lines }: Reply): string {
  return enhanced === undefined ? `${code} ${lines[0] ?? ''}` : `${code} ${enhanced} ${lines[0] ?? ''}`
}

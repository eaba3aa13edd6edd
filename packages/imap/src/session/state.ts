import {
  ConnectionLostError,
  MailboxGoneError,
  type Account,
  type Authenticator,
  type ConnectionInfo,
  type IpAddress,
  type Output,
  type Principal,
  type SaslContext,
  type SessionContext,
  type SessionObserver,
  type StoreAbility,
  type Uid,
  type UidValidity,
} from '@postern/core'
import { limits as defaultLimits, type ImapLimits } from '../limits.ts'
import type { Work } from '../message/work.ts'
import { BackendLogin } from '../proxy/login.ts'
import { encodeString, toWire } from '../wire/response.ts'
import { capabilities } from './capabilities.ts'
import { speakingFor, type AnnouncedClient } from './announced-client.ts'
import { askOnConnect, type Admittance } from './begin-session.ts'
import type { ImapSessionOptions } from './options.ts'
import type { FetchItem } from '../wire/fetch-items.ts'
import type { Notifications } from './notifications.ts'
import type { SelectedMailbox } from './selected.ts'

/** RFC 3501 section 3. The logout state is the end of the machine. */
export type Phase = 'not-authenticated' | 'authenticated' | 'selected'

/** What a client can ask for by ENABLE (RFC 5161). RFC 7162 section 3.1 names further commands that enable CONDSTORE. */
export const enableable = ['IMAP4rev2', 'UTF8=ACCEPT', 'CONDSTORE', 'QRESYNC'] as const

export type Enableable = (typeof enableable)[number]

/** Who signed in, and their mail. */
export interface SignedIn {
  readonly principal: Principal
  readonly account: Account
  /** Gives back what policies counted of the session. */
  readonly release: () => void
}

/** Lets go of who was signed in. */
export async function endSignedIn({ account, release }: SignedIn): Promise<void> {
  release()
  await account.close()
}

type AuthenticationOutcome = Parameters<NonNullable<SessionObserver['authenticated']>>[0]['outcome']
type RefusalReason = Parameters<NonNullable<SessionObserver['refused']>>[0]['reason']

/** What a client wants to hear of the mailbox that it selected (RFC 5465). */
export interface WantedNews {
  /** New messages, and expunged ones. */
  readonly messages: boolean
  readonly flags: boolean
  /** What is told as soon as it is known, and not only with the end of a command. */
  readonly atOnce: 'nothing' | 'all-but-expunges' | 'all'
  /** What is told of a new message beside that it is there. */
  readonly items: readonly FetchItem[]
}

/** As long as it said nothing else. */
export const wantsAll: WantedNews = { messages: true, flags: true, atOnce: 'nothing', items: [] }

/** After NOTIFY NONE. */
export const wantsNothing: WantedNews = { messages: false, flags: false, atOnce: 'nothing', items: [] }

/** What the commands of one session share. */
export class SessionState {
  connection: ConnectionInfo
  /** The client of a front end was announced by ID: as what, and what gives back that policies counted of it. */
  announced: { readonly client: AnnouncedClient; readonly release: () => void } | undefined
  /** It may still be announced, or, behind STARTTLS, announced anew. */
  #takesAnnouncement = true
  /** Who holds the connection, and was asked whether it may announce another. */
  #frontEnd: IpAddress | undefined
  readonly options: ImapSessionOptions
  readonly limits: ImapLimits
  readonly output: Output
  readonly wake: () => void
  readonly turn: () => Promise<void>
  /** Present where mail may be at backends. */
  readonly login: BackendLogin | undefined
  signedIn: SignedIn | undefined
  selected: SelectedMailbox | undefined
  /** Shared with the selected mailbox, which tells its news accordingly. */
  readonly enabled: Set<Enableable> = new Set()
  /** What of the selected mailbox is told. */
  wanted: WantedNews = wantsAll
  /** What of other mailboxes is told. */
  notifications: Notifications | undefined
  failedLogins = 0
  /** Of the command that runs. */
  tag = ''
  /** When it last said how far it is, or began. */
  #toldProgressMs = 0
  /** How long the answer that was just written is held back. */
  delayMs = 0
  isIdling = false
  /** Both directions are compressed (RFC 4978). */
  isCompressed = false
  /** TLS began with STARTTLS: what was offered in the clear had to be asked for again (RFC 3501 section 6.2.1). */
  hasStartedTls = false
  /** The client asks for capabilities though the greeting told them: old ones look for no response code at the login either. */
  asksForCapabilities = false
  /** Somebody was signed in and is not any more: the time for a login begins anew. */
  hasSignedOut = false
  /** The connection ended while a command was under way: what it opens now must be closed at once. */
  isOver = false
  /** A response with literals is being written: anything else that is written now would become part of it. */
  isInsideResponse = false
  /** The selected mailbox is gone, so the session ends when the command is answered. */
  isMailboxGone = false
  /** Pieces of work done since others had their turn. */
  #pieces = 0
  /** They had it since the progress was last thought of: looking at the clock for each message would cost more than many. */
  #looksAtClock = false

  constructor(context: SessionContext, options: ImapSessionOptions) {
    this.connection = context.connection
    this.options = options
    this.limits = { ...defaultLimits, ...options.limits }
    this.output = context.output
    this.wake = () => context.wake()
    this.turn = () => context.turn()
    const { logins, authenticator, proxyLimits } = options
    this.login =
      logins === undefined
        ? undefined
        : new BackendLogin({
            authenticator,
            logins,
            connection: () => this.connection,
            signal: () => context.signal,
            limits: proxyLimits,
          })
  }

  get phase(): Phase {
    if (this.signedIn === undefined) return 'not-authenticated'
    return this.selected === undefined ? 'authenticated' : 'selected'
  }

  get isHealthCheck(): boolean {
    return this.connection.identity.origin === 'proxy-itself'
  }

  /** RFC 9051 is what the client speaks: no RECENT, ESEARCH for every search, and more. */
  get isRev2(): boolean {
    return this.enabled.has('IMAP4rev2')
  }

  /** Names of mailboxes are UTF-8 in both directions. */
  get isUtf8(): boolean {
    return this.isRev2 || this.enabled.has('UTF8=ACCEPT')
  }

  /** The account of a command that the table allows only after login. */
  get account(): Account {
    if (this.signedIn !== undefined) return this.signedIn.account
    this.#assertThere()
    throw new Error('a command that needs a login ran without one')
  }

  /** The mailbox of a command that the table allows only in the selected state. */
  get mailbox(): SelectedMailbox {
    if (this.selected !== undefined) return this.selected
    this.#assertThere()
    throw new Error('a command that needs a mailbox ran without one')
  }

  /** Who checks what clients sign in with. */
  get authenticator(): Authenticator {
    return this.login ?? this.options.authenticator
  }

  /** What a sign-in is checked by. */
  get saslContext(): SaslContext {
    return { connection: this.connection, authenticator: this.authenticator, policies: this.options.policies }
  }

  /** Another may sign in on this connection when this one is signed out. */
  get mayUnauthenticate(): boolean {
    return this.options.mayUnauthenticate ?? true
  }

  /** Whether the store can do what not every one can. */
  can(ability: StoreAbility): boolean {
    return this.options.store.can?.includes(ability) === true
  }

  /**
   * A command that enables CONDSTORE was given: from now on modification sequences are told. In the selected state the
   * first one is told the highest (RFC 7162 section 3.1).
   */
  enableModseq(): void {
    if (!this.can('modseq') || this.enabled.has('CONDSTORE')) return
    this.enabled.add('CONDSTORE')
    this.write(this.selected?.highestModseqResponse() ?? '')
  }

  /** Whether ID may say whom this connection is for: once, and before the login. */
  get takesAnnouncement(): boolean {
    if (!this.#takesAnnouncement || this.signedIn !== undefined) return false
    return this.options.mayAnnounce?.(this.#frontEnd ?? this.connection.identity.client.address) === true
  }

  /** The connection is that client's, if the policies let it in. */
  async announce(client: AnnouncedClient): Promise<Admittance> {
    this.#takesAnnouncement = false
    this.#frontEnd ??= this.connection.identity.client.address
    this.connection = speakingFor(this.connection, client)
    this.forgetAnnounced()
    const { identity, listener } = this.connection
    const admittance = await askOnConnect(this.options.policies, { identity, listener })
    if (!admittance.ok) return admittance
    this.announced = { client, release: admittance.release }
    if (this.isOver) this.forgetAnnounced()
    return admittance
  }

  /** The client that was announced is gone, or another one takes its place. */
  forgetAnnounced(): void {
    this.announced?.release()
    this.announced = undefined
  }

  /**
   * TLS began: what was learned in the clear is forgotten (RFC 3501 section 6.2.1). But Dovecot, as a front end, says before
   * STARTTLS whom it speaks for, and not again; where it is said again, that is the last word.
   */
  startOver(connection: ConnectionInfo): void {
    this.connection = this.announced === undefined ? connection : speakingFor(connection, this.announced.client)
    this.#takesAnnouncement = true
    this.failedLogins = 0
    this.hasStartedTls = true
    this.login?.identify([])
  }

  capabilities(): string {
    return capabilities({
      connection: this.connection,
      authenticator: this.authenticator,
      backends: this.login,
      isLoggedIn: this.signedIn !== undefined,
      offersStartTls: this.options.offersStartTls,
      maxAppendBytes: this.options.maxAppendBytes,
      isCompressed: this.isCompressed,
      mayUnauthenticate: this.mayUnauthenticate,
      storeCan: this.options.store.can ?? [],
    })
  }

  /** A sign-in failed: the client pays for it with time, more with each. */
  countFailedLogin(): void {
    this.failedLogins += 1
    this.delayMs = this.failedLogins * this.limits.failedLoginDelayMs
  }

  /** Tells whoever listens how an attempt to sign in ended. */
  tellAuthenticated(mechanism: string, username: string, outcome: AuthenticationOutcome, detail?: string): void {
    const event = { connection: this.connection, mechanism, username, outcome }
    this.options.observer?.authenticated?.(detail === undefined ? event : { ...event, detail })
  }

  /** Tells whoever listens that something was refused, and why. */
  refused(verb: string, reason: RefusalReason, detail: string): void {
    this.options.observer?.refused?.({ connection: this.connection, verb, reason, detail })
  }

  /** Writes responses; one octet in each character, line ends included. */
  write(text: string): void {
    if (text !== '') this.output.write(toWire(text))
  }

  /**
   * Before more is done: waits for a client that reads slowly, stops for one that is gone, and lets others have the
   * event loop now and then, since work on what is in memory waits for nothing by itself.
   *
   * @param pieces - what was done, of `piecesPerTurn`.
   */
  async room(pieces = 1): Promise<void> {
    this.#pieces += pieces
    if (this.#pieces >= this.limits.piecesPerTurn) await this.#giveTurn()
    this.#assertThere()
    if (this.output.isFull) await this.output.drained()
  }

  /** A chunk of a message was read and gone through: a whole one takes as long as a turn may. */
  roomAfter(chunk: Buffer): Promise<void> {
    const { piecesPerTurn, readChunkBytes } = this.limits
    return this.room(Math.max(1, Math.floor((chunk.length / readChunkBytes) * piecesPerTurn)))
  }

  /** Does work on what is in memory, and lets others have the event loop between its pieces. */
  async inTurns<T>(work: Work<T>): Promise<T> {
    let steps = 0
    for (;;) {
      const piece = work.next()
      if (piece.done === true) return piece.value
      steps += piece.value
      if (steps < this.limits.stepsPerTurn) continue
      steps = 0
      await this.#giveTurn()
      this.#assertThere()
    }
  }

  async #giveTurn(): Promise<void> {
    this.#pieces = 0
    this.#looksAtClock = true
    await this.turn()
  }

  #assertThere(): void {
    if (this.isOver) throw new ConnectionLostError('the client left while a command was under way')
  }

  /** A command begins. */
  begin(tag: string): void {
    this.tag = tag
    this.#toldProgressMs = this.options.now().getTime()
  }

  /** RFC 9585: a command that takes long says now and then that it is alive, and how far. */
  async tellProgress(done: number, all: number): Promise<void> {
    if (!this.#looksAtClock || this.isInsideResponse) return
    this.#looksAtClock = false
    const nowMs = this.options.now().getTime()
    if (nowMs - this.#toldProgressMs < this.limits.progressEveryMs) return
    this.#toldProgressMs = nowMs
    this.write(`* OK [INPROGRESS (${encodeString(this.tag)} ${done} ${all})] Still working\r\n`)
    await this.output.drained()
  }

  /**
   * Looks at the selected mailbox, so that `tell` has what others did.
   *
   * @returns false when it was deleted, renamed or made anew: then it is not selected any more, and no response of the
   * protocol could say so but BYE.
   */
  async look(): Promise<boolean> {
    try {
      await this.selected?.look()
      return true
    } catch (error) {
      if (!(error instanceof MailboxGoneError)) throw error
      this.isMailboxGone = true
      await this.unselect()
      return false
    }
  }

  /** Leaves the authenticated state: nothing of who was signed in is left. */
  async signOut(): Promise<void> {
    const { signedIn } = this
    await this.unselect()
    this.signedIn = undefined
    this.hasSignedOut = true
    this.enabled.clear()
    this.notify(undefined, wantsAll)
    if (signedIn !== undefined) await endSignedIn(signedIn)
  }

  /** This client put messages there: they are no news to it (RFC 5465 section 5.2). */
  noteOwn(mailbox: string, uidValidity: UidValidity, uids: readonly Uid[]): void {
    const { selected, wanted } = this
    if (wanted.items.length === 0 || selected?.mailbox.name !== mailbox) return
    if (selected.mailbox.uidValidity === uidValidity) for (const uid of uids) selected.own.add(uid)
  }

  /** From now on this is told, and nothing else. */
  notify(notifications: Notifications | undefined, wanted: WantedNews): void {
    if (notifications !== this.notifications) this.notifications?.end()
    this.notifications = notifications
    this.wanted = wanted
    this.watchSelected()
  }

  /** Hints about the selected mailbox come as long as somebody waits for them. */
  watchSelected(): void {
    if (this.isIdling || this.wanted.atOnce !== 'nothing') this.selected?.watch(this.wake)
    else this.selected?.stopWatching()
  }

  /** Leaves the selected state. */
  async unselect(): Promise<void> {
    const { selected } = this
    this.selected = undefined
    if (selected !== undefined) this.notifications?.left(selected.mailbox.name)
    await selected?.close()
  }
}

import { once } from 'node:events'
import { connect, type TLSSocket } from 'node:tls'
import { within } from './patience.ts'

/** What came of a command. */
export interface Answer {
  readonly status: 'OK' | 'NO' | 'BAD'
  /** Behind the status. */
  readonly text: string
  /** Untagged responses, literals included as they came. */
  readonly untagged: readonly string[]
}

/** One message as a response of FETCH told it. */
export interface ToldMessage {
  readonly number: number
  readonly uid?: number
  readonly flags?: readonly string[]
  readonly modseq?: bigint
  readonly subject?: string
}

/**
 * An IMAP client that believes every word and finds contradictions: message numbers that do not fit, EXPUNGE at a moment
 * when it may not come, a mailbox that shrinks by itself. It speaks over TLS from the first byte.
 */
export class BelievingSession {
  /** Message numbers less one to UIDs, as far as they were told. */
  readonly uids: (number | undefined)[] = []
  onFetch: (message: ToldMessage) => void = () => {}
  onGone: (uid: number) => void = () => {}
  #socket: TLSSocket
  #text = ''
  #tag = 0
  #untagged: string[] = []
  #command = ''
  #waiting: { readonly tag: string; readonly resolve: (answer: Answer) => void } | undefined
  #continued: (() => void) | undefined
  #failure: Error | undefined

  private constructor(socket: TLSSocket) {
    this.#socket = socket
    socket.setEncoding('latin1')
    socket.on('data', (chunk: string) => {
      this.#text += chunk
      try {
        this.#read()
      } catch (error) {
        this.#failure ??= error as Error
        socket.destroy()
        this.#waiting?.resolve({ status: 'BAD', text: String(error), untagged: [] })
      }
    })
    socket.on('error', (error) => (this.#failure ??= error))
    socket.on('close', () => {
      this.#failure ??= new Error(`closed during ${this.#command}; left: ${this.#text.slice(0, 200)}`)
      this.#waiting?.resolve({ status: 'BAD', text: 'closed', untagged: [] })
    })
  }

  static async open(port: number, user: string, password: string): Promise<BelievingSession> {
    const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false })
    await within(20_000, 'a TLS connection', once(socket, 'secureConnect'))
    const session = new BelievingSession(socket)
    await session.#do(`LOGIN "${user}" "${password}"`)
    return session
  }

  /** Sends a command, with a literal at its end if there is one, and checks that it is not BAD. */
  async ask(command: string, literal?: string): Promise<Answer> {
    return this.#do(command, literal)
  }

  /** IDLE for that long, or until something came. */
  async idle(ms: number): Promise<void> {
    const ended = this.#begin('IDLE')
    await new Promise<void>((resolve) => (this.#continued = resolve))
    await new Promise((resolve) => setTimeout(resolve, ms))
    this.#socket.write('DONE\r\n')
    this.#check(await within(30_000, 'the end of IDLE', ended))
  }

  async close(): Promise<void> {
    this.#failure = new Error('closed by the test')
    this.#socket.destroy()
  }

  async #do(command: string, literal?: string): Promise<Answer> {
    const ended = this.#begin(literal === undefined ? command : `${command} {${literal.length}+}\r\n${literal}`)
    return this.#check(await within(60_000, () => `an answer to ${command.slice(0, 80)}`, ended))
  }

  #begin(command: string): Promise<Answer> {
    if (this.#failure !== undefined) throw this.#failure
    const tag = `t${(this.#tag += 1)}`
    this.#command = command
    this.#untagged = []
    this.#socket.write(`${tag} ${command}\r\n`, 'latin1')
    return new Promise((resolve) => (this.#waiting = { tag, resolve }))
  }

  #check(answer: Answer): Answer {
    if (this.#failure !== undefined) throw this.#failure
    if (answer.status === 'BAD') throw new Error(`${this.#command.slice(0, 100)}: BAD ${answer.text}`)
    return answer
  }

  #read(): void {
    for (;;) {
      const response = this.#nextResponse()
      if (response === undefined) return
      if (response.startsWith('+')) this.#continued?.()
      else if (response.startsWith('* ')) this.#take(response.slice(2))
      else this.#end(response)
    }
  }

  /** One whole response, literals included. */
  #nextResponse(): string | undefined {
    let end = 0
    for (;;) {
      const line = this.#text.indexOf('\r\n', end)
      if (line === -1) return undefined
      const literal = /\{(\d+)\}$/.exec(this.#text.slice(end, line))
      if (literal === null) {
        const response = this.#text.slice(0, line)
        this.#text = this.#text.slice(line + 2)
        return response
      }
      end = line + 2 + Number(literal[1])
      if (this.#text.length < end) return undefined
    }
  }

  #end(response: string): void {
    const [, tag, status, text = ''] = /^(\S+) (OK|NO|BAD) ?([^]*)$/.exec(response) ?? []
    const waiting = this.#waiting
    if (waiting === undefined || waiting.tag !== tag) throw new Error(`an answer to nothing: ${response.slice(0, 100)}`)
    this.#waiting = undefined
    waiting.resolve({ status: status as Answer['status'], text, untagged: this.#untagged })
  }

  #take(response: string): void {
    this.#untagged.push(response)
    const [, number, kind = ''] = /^(\d+) (EXISTS|EXPUNGE|FETCH)\b/.exec(response) ?? []
    if (/^(?:SELECT|EXAMINE)/.test(this.#command) && response.startsWith('FLAGS ')) this.uids.length = 0
    if (response.startsWith('BYE')) throw new Error(response)
    if (kind === 'EXISTS') this.#exists(Number(number))
    else if (kind === 'EXPUNGE') this.#expunge(Number(number))
    else if (kind === 'FETCH') this.#fetch(Number(number), response)
    else if (/^VANISHED [\d,:]+$/.test(response)) this.#vanished(response)
  }

  #exists(count: number): void {
    if (count < this.uids.length) throw new Error(`EXISTS ${count} after ${this.uids.length}`)
    while (this.uids.length < count) this.uids.push(undefined)
  }

  #mayExpunge(response: string): void {
    if (/^(?:FETCH|STORE|SEARCH)/.test(this.#command)) throw new Error(`${response} during ${this.#command}`)
  }

  #expunge(number: number): void {
    this.#mayExpunge(`EXPUNGE ${number}`)
    if (number < 1 || number > this.uids.length) throw new Error(`EXPUNGE ${number} of ${this.uids.length}`)
    const [uid] = this.uids.splice(number - 1, 1)
    if (uid !== undefined) this.onGone(uid)
  }

  #vanished(response: string): void {
    this.#mayExpunge(response)
    for (const uid of numbersOf(response.slice(9))) {
      const at = this.uids.indexOf(uid)
      if (at !== -1) this.uids.splice(at, 1)
      // It must be one of those whose UIDs were not told: between its neighbours.
      else {
        let place = this.uids.findIndex((known) => known !== undefined && known > uid)
        if (place === -1) place = this.uids.length
        const unknown = this.uids.lastIndexOf(undefined, place - 1)
        if (place === 0 || unknown === -1) throw new Error(`${response}: nobody knows ${uid}`)
        this.uids.splice(unknown, 1)
      }
      this.onGone(uid)
    }
  }

  #fetch(number: number, response: string): void {
    if (number < 1 || number > this.uids.length) throw new Error(`FETCH of ${number} of ${this.uids.length}`)
    const uid = /\bUID (\d+)/.exec(response)?.[1]
    const flags = /\bFLAGS \(([^)]*)\)/.exec(response)?.[1]
    const modseq = /\bMODSEQ \((\d+)\)/.exec(response)?.[1]
    const subject = /^Subject: (.*)\r$/m.exec(response)?.[1]
    if (uid !== undefined) this.#learn(number, Number(uid))
    this.onFetch({
      number,
      ...(uid === undefined ? {} : { uid: Number(uid) }),
      ...(flags === undefined ? {} : { flags: flags.split(' ').filter((flag) => flag !== '' && flag !== '\\Recent') }),
      ...(modseq === undefined ? {} : { modseq: BigInt(modseq) }),
      ...(subject === undefined ? {} : { subject }),
    })
  }

  #learn(number: number, uid: number): void {
    const known = this.uids[number - 1]
    if (known !== undefined && known !== uid) throw new Error(`message ${number} was ${known} and is ${uid}`)
    this.uids[number - 1] = uid
    const before = this.uids.slice(0, number - 1).findLast((each) => each !== undefined)
    const after = this.uids.slice(number).find((each) => each !== undefined)
    if ((before !== undefined && before >= uid) || (after !== undefined && after <= uid)) {
      throw new Error(`message ${number} has UID ${uid} between ${before} and ${after}`)
    }
  }
}

/** `1,3:5` */
export function numbersOf(set: string): readonly number[] {
  return set.split(',').flatMap((range) => {
    const [first = 0, last = first] = range.split(':').map(Number)
    return Array.from({ length: Math.abs(last - first) + 1 }, (_, at) => Math.min(first, last) + at)
  })
}

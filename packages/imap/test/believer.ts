import type { TestSession } from './dialogue.ts'

/** A client that believes what it is told, and nothing else (RFC 3501 section 7.4.1). */
export class Believer {
  readonly session: TestSession
  /** UID by sequence number less one; 0 while it was not told. */
  readonly uids: number[]
  /** What it was told that cannot be. */
  readonly faults: string[] = []

  constructor(session: TestSession, uids: readonly number[]) {
    this.session = session
    this.uids = [...uids]
  }

  async ask(command: string): Promise<void> {
    const meant = this.uids[Number(/^UID SEARCH (\d+)$/.exec(command)?.[1]) - 1]
    const answer = await this.session.ask(`t ${command}`)
    const found = /^\* SEARCH (\d+)\r$/m.exec(answer)?.[1]
    if (meant !== undefined && meant !== 0 && found !== undefined && Number(found) !== meant)
      this.#fault(command, answer)
    for (const line of answer.split('\r\n')) this.#believe(line, command)
    // Of messages that another session expunged none is copied.
    const ending = /^(?:COPY|MOVE) /.test(command)
      ? /t (?:OK|NO \[EXPUNGEISSUED\]) [^\r\n]*\r\n$/
      : /t OK [^\r\n]*\r\n$/
    if (!ending.test(answer)) this.#fault(command, answer)
  }

  #believe(line: string, command: string): void {
    const [, number = '', what, rest = ''] = /^\* (\d+) (EXISTS|EXPUNGE|FETCH)(.*)$/.exec(line) ?? []
    const index = Number(number) - 1
    if (what === 'EXPUNGE') {
      if (/^(?:FETCH|STORE|SEARCH)/.test(command) || index >= this.uids.length) this.#fault(command, line)
      this.uids.splice(index, 1)
    } else if (what === 'EXISTS') {
      if (index + 1 < this.uids.length) this.#fault(command, line)
      while (this.uids.length <= index) this.uids.push(0)
    } else if (what === 'FETCH') {
      const known = this.uids[index]
      const uid = Number(/UID (\d+)/.exec(rest)?.[1] ?? known)
      if (known === undefined || (known !== 0 && known !== uid)) this.#fault(command, line)
      this.uids[index] = uid
    }
  }

  #fault(command: string, line: string): void {
    this.faults.push(`${command}: ${line} (knowing ${this.uids.join(' ')})`)
  }
}

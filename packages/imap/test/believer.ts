import { expect } from 'vitest'
import type { TestSession } from './dialogue.ts'

/** A client that believes what it is told, and nothing else (RFC 3501 section 7.4.1). */
export class Believer {
  readonly session: TestSession
  /** UID by sequence number less one; 0 while it was not told. */
  readonly uids: number[]

  constructor(session: TestSession, uids: readonly number[]) {
    this.session = session
    this.uids = [...uids]
  }

  async ask(command: string): Promise<void> {
    const answer = await this.session.ask(`t ${command}`)
    for (const line of answer.split('\r\n')) this.#believe(line, command)
    expect(answer).toMatch(/t (?:OK|NO \[EXPUNGEISSUED\]) [^\r\n]*\r\n$/)
  }

  #believe(line: string, command: string): void {
    const [, number = '', what, rest = ''] = /^\* (\d+) (EXISTS|EXPUNGE|FETCH)(.*)$/.exec(line) ?? []
    const index = Number(number) - 1
    if (what === 'EXPUNGE') {
      expect(command).not.toMatch(/^(?:FETCH|STORE|SEARCH)/)
      expect(index).toBeLessThan(this.uids.length)
      this.uids.splice(index, 1)
    } else if (what === 'EXISTS') {
      expect(index + 1).toBeGreaterThanOrEqual(this.uids.length)
      while (this.uids.length <= index) this.uids.push(0)
    } else if (what === 'FETCH') {
      const uid = Number(/UID (\d+)/.exec(rest)?.[1] ?? this.uids[index])
      expect(index).toBeLessThan(this.uids.length)
      expect([0, uid]).toContain(this.uids[index])
      this.uids[index] = uid
    }
  }
}

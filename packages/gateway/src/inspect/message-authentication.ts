import { extname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Piscina } from 'piscina'
import type { AuthenticationConfig, DnsConfig } from '../config/schema.ts'
import { limits } from '../limits.ts'
import type { VerifiedMessage, VerifyJob } from './verify-message.ts'

/** Beside this file in the sources as in the build. */
const jobFile = new URL(`./verify-message${extname(fileURLToPath(import.meta.url))}`, import.meta.url)

/** SPF, DKIM, DMARC and ARC, in threads of their own. */
export class MessageAuthentication {
  readonly #pool: Piscina<VerifyJob, VerifiedMessage>
  readonly #dns: VerifyJob['dns']
  readonly #timeoutMs: number

  constructor({ timeoutMs, threads }: Pick<AuthenticationConfig, 'timeoutMs' | 'threads'>, dns: DnsConfig) {
    this.#timeoutMs = timeoutMs
    this.#dns = { servers: dns.servers, timeoutMs: dns.timeoutMs, tries: dns.tries }
    this.#pool = new Piscina({
      filename: jobFile.href,
      minThreads: 1,
      maxThreads: threads,
      // A job waits for the DNS nearly all the time, and its thread has others meanwhile: so it must never sleep.
      concurrentTasksPerWorker: limits.messagesPerThread,
      atomics: 'disabled',
      maxQueue: limits.maxMessagesWaiting,
    })
  }

  /** Rejects when it takes too long, when too many wait, and when the thread died of it. */
  async verify(job: Omit<VerifyJob, 'dns'>): Promise<VerifiedMessage> {
    const late = Promise.withResolvers<never>()
    const timer = setTimeout(() => {
      late.reject(new Error(`not known within ${this.#timeoutMs / 1000} s`))
    }, this.#timeoutMs)
    try {
      return await Promise.race([this.#pool.run({ ...job, dns: this.#dns }), late.promise])
    } finally {
      clearTimeout(timer)
    }
  }

  /** Messages that wait for a thread. */
  get waiting(): number {
    return this.#pool.queueSize
  }

  async close(): Promise<void> {
    await this.#pool.destroy()
  }
}

import { hash } from 'node:crypto'
import { readTextFile } from '../config/read-file.ts'
import type { CertificateConfig } from '../config/schema.ts'
import { limits } from '../limits.ts'

/**
 * Looks whether the files of the certificates have something else than what is in force, as after a renewal. A change is
 * told when two looks in a row found the same: a certificate and its key are two files, and nobody writes both at once. It
 * is told once: what cannot be used is not read again and again. A file that cannot be read is no change: it may be about to
 * be replaced, or be meant for root alone. One that is yet to come (`tls.acme`) hinders nobody.
 */
export class CertificateWatch {
  readonly #certificates: () => readonly CertificateConfig[]
  readonly #onChange: () => void
  readonly #timer: NodeJS.Timeout
  #seen: string | undefined
  #told: string | undefined

  /** @param certificates - what is in force now. */
  constructor(
    certificates: () => readonly CertificateConfig[],
    onChange: () => void,
    everyMs: number = limits.certificateLookMs,
  ) {
    this.#certificates = certificates
    this.#onChange = onChange
    this.#timer = setInterval(() => void this.look(), everyMs)
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  async look(): Promise<void> {
    const inForce = this.#certificates()
    const found = await Promise.all(
      inForce.map(async ({ certFile, keyFile, cert, key, isPlaceholder }) => {
        const texts = [await textOf(certFile), await textOf(keyFile)]
        return isPlaceholder === true && texts[0] === undefined ? [cert, key] : texts
      }),
    )
    const isReadable = found.flat().every((text) => text !== undefined)
    const isSame = inForce.every(({ cert, key }, index) => found[index]?.[0] === cert && found[index][1] === key)
    const now = isSame || !isReadable ? undefined : hash('sha256', JSON.stringify(found))
    const isStable = now !== undefined && now === this.#seen
    this.#seen = now
    if (!isStable || now === this.#told) return
    this.#told = now
    this.#onChange()
  }
}

async function textOf(file: string): Promise<string | undefined> {
  const reading = await readTextFile(file)
  return reading.ok ? reading.text : undefined
}

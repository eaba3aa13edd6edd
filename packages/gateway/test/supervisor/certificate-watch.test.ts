import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { CertificateWatch } from '../../src/supervisor/certificate-watch.ts'
import { temporaryDirectory } from '../config/temporary-directory.ts'

test('a renewed certificate is told when both of its files have settled, and once', async () => {
  const folder = await temporaryDirectory()
  const files = { certFile: join(folder, 'cert.pem'), keyFile: join(folder, 'key.pem') }
  const write = async (cert: string, key: string): Promise<void> => {
    await writeFile(files.certFile, cert)
    await writeFile(files.keyFile, key)
  }
  await write('old', 'old')
  let inForce = { ...files, cert: 'old', key: 'old' }
  let told = 0
  const watch = new CertificateWatch(
    () => [inForce],
    () => told++,
    3_600_000,
  )
  const lookAfter = async (cert: string, key: string): Promise<number> => {
    await write(cert, key)
    await watch.look()
    return told
  }
  expect(await lookAfter('old', 'old')).toBe(0)
  // Half of a renewal, and the other half at the next look: nothing is settled yet.
  expect(await lookAfter('new', 'old')).toBe(0)
  expect(await lookAfter('new', 'new')).toBe(0)
  expect(await lookAfter('new', 'new')).toBe(1)
  // It was refused, so the old one is in force: nobody asks again until the files change again.
  expect(await lookAfter('new', 'new')).toBe(1)
  expect(await lookAfter('newer', 'newer')).toBe(1)
  expect(await lookAfter('newer', 'newer')).toBe(2)
  inForce = { ...files, cert: 'newer', key: 'newer' }
  expect(await lookAfter('newer', 'newer')).toBe(2)
  // Nobody may read it any more, as after the rights of root were dropped: that is no change.
  await rm(files.keyFile)
  await watch.look()
  await watch.look()
  expect(told).toBe(2)
  watch.stop()
})

test('one that is yet to come hinders nobody, and is told when it has', async () => {
  const folder = await temporaryDirectory()
  const files = { certFile: join(folder, 'cert.pem'), keyFile: join(folder, 'key.pem') }
  const ordered = join(folder, 'ordered.pem')
  const placeholder = { certFile: ordered, keyFile: ordered, cert: 'made', key: 'made', isPlaceholder: true as const }
  await writeFile(files.certFile, 'old')
  await writeFile(files.keyFile, 'old')
  let told = 0
  const watch = new CertificateWatch(
    () => [{ ...files, cert: 'old', key: 'old' }, placeholder],
    () => told++,
    3_600_000,
  )
  const settle = async (): Promise<number> => {
    await watch.look()
    await watch.look()
    return told
  }
  expect(await settle()).toBe(0)
  await writeFile(files.certFile, 'new')
  await writeFile(files.keyFile, 'new')
  expect(await settle()).toBe(1)
  await writeFile(ordered, 'ordered')
  expect(await settle()).toBe(2)
  watch.stop()
})

import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { Spool, SpoolMemory } from '../../src/inspect/spool.ts'
import { limits } from '../../src/limits.ts'
import { temporaryDirectory } from '../config/temporary-directory.ts'

async function contentOf(spool: Spool): Promise<Buffer> {
  const pieces: Buffer[] = []
  for await (const piece of spool.read()) pieces.push(Buffer.from(piece))
  return Buffer.concat(pieces)
}

test('a small message waits in memory, and is read as often as one likes', async () => {
  const spool = new Spool('/nowhere', new SpoolMemory())
  const chunk = Buffer.from('hello')
  await spool.append(chunk)
  // The chunk is only lent.
  chunk.fill(0)
  await spool.append(Buffer.from(' there'))
  expect(spool.message).toEqual({ kind: 'bytes', bytes: Buffer.from('hello there') })
  expect((await contentOf(spool)).toString()).toBe('hello there')
  expect((await contentOf(spool)).toString()).toBe('hello there')
  await spool.close()
})

test('a large one waits in a file that has no name, and nothing is left of it', async () => {
  const folder = join(await temporaryDirectory(), 'spool')
  const spool = new Spool(folder, new SpoolMemory())
  const piece = Buffer.alloc(100_000, 'x')
  for (let n = 0; n < 5; n++) await spool.append(Buffer.concat([Buffer.from(`${n}`), piece]))
  expect(spool.message).toMatchObject({ kind: 'file', size: 500_005 })
  expect(readdirSync(folder)).toEqual([])
  const content = await contentOf(spool)
  expect(content.length).toBe(500_005)
  expect([0, 1, 2, 3, 4].map((n) => String.fromCharCode(content[n * 100_001] ?? 0)).join('')).toBe('01234')
  await spool.close()
  await spool.close()
})

test('memory is shared: when it is used up, messages wait in files however small', async () => {
  const memory = new SpoolMemory()
  expect(memory.take(limits.maxSpoolMemoryBytes)).toBe(true)
  const spool = new Spool(join(await temporaryDirectory(), 'spool'), memory)
  await spool.append(Buffer.from('hello'))
  expect(spool.message.kind).toBe('file')
  expect((await contentOf(spool)).toString()).toBe('hello')
  await spool.close()
  memory.give(limits.maxSpoolMemoryBytes)
  expect(memory.take(limits.maxSpoolMemoryBytes)).toBe(true)
})

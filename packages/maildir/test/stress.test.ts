// Three stores on one account at once, as three processes have it, which is told in stress.ts. POSTERN_STRESS_SECONDS=600 is a long run.
import { lstatSync, renameSync, symlinkSync, unlinkSync } from 'node:fs'
import { expect, test, vi } from 'vitest'
import { openMaildirStore } from '../src/index.ts'
import { openLocalFile } from '../src/local-file.ts'
import { ann, openTestStore, unsyncedDisk } from './kit.ts'
import { compareStores, patient, Told, work } from './stress.ts'

vi.setConfig({ testTimeout: 3_600_000 })

const seconds = Number(process.env['POSTERN_STRESS_SECONDS'] ?? 1)
const seed = Number(process.env['POSTERN_STRESS_SEED'] ?? Date.now() % 1_000_000)

const local = { lstatSync, renameSync, symlinkSync, unlinkSync, openLocalFile }

test(`ST-05: three stores on one account at once tell no contradiction, from seed ${seed}`, async () => {
  const opened = await openTestStore()
  const told = new Told()
  const end = Date.now() + seconds * 1000
  const stores = [0, 1, 2].map((at) => {
    // One of them goes through threads, as on a file system of another machine.
    const disk = unsyncedDisk(at === 0 ? {} : local)
    return openMaildirStore({ root: opened.root, hostname: `mx${at}`, disk, limits: patient })
  })
  await Promise.all(
    stores.map((store, at) =>
      work(
        {
          root: opened.root,
          account: ann,
          name: `s${at}`,
          seed: seed + at,
          until: () => Date.now() >= end || told.faults.length > 0,
          store,
        },
        told,
      ),
    ),
  )
  const fresh = openMaildirStore({ root: opened.root, hostname: 'fresh' })
  if (told.faults.length === 0) await compareStores([...stores, fresh], ann, told)
  for (const store of [...stores, fresh]) await store.close()
  await opened.end()
  expect(told.faults.slice(0, 10)).toEqual([])
  expect(told.operations).toBeGreaterThan(0)
})

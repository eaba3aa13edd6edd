import { describe, expect, test } from 'vitest'
import { Slot } from '../../src/supervisor/slot.ts'
import { Slots, type Replacement } from '../../src/supervisor/slots.ts'
import { FakeWorker } from './fake-worker.ts'

function nothing(): void {}

function openSlots(count: number) {
  const workers: FakeWorker[] = []
  const events = {
    onReady: nothing,
    onCrash: nothing,
    onHang: nothing,
    onMessage: nothing,
    onDrained: nothing,
    onGone: nothing,
  }
  const spawn = (listeners: ConstructorParameters<typeof FakeWorker>[1]): FakeWorker => {
    const worker = new FakeWorker(workers.length + 1, listeners)
    workers.push(worker)
    return worker
  }
  const slots = new Slots(count, () => new Slot(spawn, events))
  slots.start()
  for (const worker of workers) worker.becomesReady()
  return {
    slots,
    workers,
    /** The one that was started last. */
    newest: async (): Promise<FakeWorker> => {
      await turn()
      return workers.at(-1)!
    },
  }
}

/** A slot whose successor is there lets the next begin. */
function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

async function goBack(replacement: Replacement): Promise<void> {
  if (replacement.outcome !== 'failed') throw new Error(`it was ${replacement.outcome}`)
  await replacement.goBack(1000)
}

describe('new workers in all slots', () => {
  test('one slot after the other: the next successor starts when the one before accepts', async () => {
    const { slots, workers, newest } = openSlots(2)
    const replaced = slots.replace(2, 1000)
    const third = await newest()
    expect(workers).toHaveLength(3)
    third.becomesReady()
    const fourth = await newest()
    expect(workers.map(({ told }) => told)).toEqual([['retire'], [], [], []])
    fourth.becomesReady()
    expect(await replaced).toEqual({ outcome: 'done' })
    expect(workers.map(({ told }) => told)).toEqual([['retire'], ['retire'], [], []])
    expect(slots.readyCount).toBe(2)
  })

  test('fewer slots: those that go end when the others have their new workers', async () => {
    const { slots, workers, newest } = openSlots(3)
    const replaced = slots.replace(1, 1000)
    const fourth = await newest()
    expect(workers.map(({ told }) => told)).toEqual([[], [], [], []])
    fourth.becomesReady()
    expect(await replaced).toEqual({ outcome: 'done' })
    expect(workers.map(({ told }) => told)).toEqual([['retire'], ['retire'], ['retire'], []])
    expect(slots.count).toBe(1)
    // Those that drain are looked after until they are gone.
    expect(slots.workers).toHaveLength(4)
    for (const worker of workers.slice(0, 3)) worker.dies()
    expect(slots.workers).toEqual([fourth])
  })

  test('a successor that does not start: all is as it was, and slots that were new go', async () => {
    const { slots, workers, newest } = openSlots(1)
    const replaced = slots.replace(3, 1000)
    ;(await newest()).becomesReady()
    const added = await newest()
    added.becomesReady()
    ;(await newest()).dies()
    const back = goBack(await replaced)
    // The slot that had its successor gets another, with what is in force again.
    const again = await newest()
    expect(workers).toHaveLength(5)
    again.becomesReady()
    await back
    expect(slots.count).toBe(1)
    expect(slots.readyCount).toBe(1)
    expect(added.told).toEqual(['retire'])
    expect(again.told).toEqual([])
  })

  test('told to stop meanwhile: no other slot begins', async () => {
    const { slots, workers, newest } = openSlots(2)
    const replaced = slots.replace(2, 1000)
    await newest()
    slots.stop(1000)
    expect(await replaced).toEqual({ outcome: 'stopping' })
    expect(workers).toHaveLength(3)
    expect(workers.map(({ told }) => told)).toEqual([['stop'], ['stop'], ['stop']])
  })
})

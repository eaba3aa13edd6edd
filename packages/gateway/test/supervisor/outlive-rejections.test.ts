import { EventEmitter } from 'node:events'
import { expect, test } from 'vitest'
import { outliveRejections } from '../../src/supervisor/serve.ts'

test('a promise that failed and that nobody waited for is told, and ends nothing', () => {
  const told: unknown[] = []
  const process = new EventEmitter()
  const end = outliveRejections(process, { fault: (error) => told.push(error) })
  const error = new Error('nobody waited')
  expect(process.emit('unhandledRejection', error)).toBe(true)
  expect(told).toEqual([error])
  end()
  expect(process.emit('unhandledRejection', error)).toBe(false)
})

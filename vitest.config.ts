import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { defineConfig } from 'vitest/config'

const conditions = ['@postern/source']

/** Processes of ours that are started to be killed. They take seconds each. */
const processes = '**/processes.test.ts'

/** Judged by how soon others are served meanwhile, and by memory. */
const attacks = ['faults/attacks.test.ts', 'faults/idle-sessions.test.ts', 'faults/soak.test.ts']

/**
 * Files of one project share processes, one for each processor, so that their code is loaded and compiled once: a third of
 * the CPU. What a test changes of its process it puts back.
 */
const together = {
  isolate: false,
  maxWorkers: '100%',
  restoreMocks: true,
  unstubEnvs: true,
  // Of the threads and processes that tests start from the source: what one has compiled, the next one reads.
  env: { NODE_COMPILE_CACHE: join(import.meta.dirname, 'node_modules/.cache/compiled') },
} as const

/**
 * One file for each processor, in processes of their own, when all before are done. They wait more than they compute: for
 * timeouts, for programs to start. Each has ports, folders and logs of its own; memory and what the system gives to one user
 * (of inotify 128 instances, one for each worker) they share, so a large machine runs no more than eight.
 */
const besideEachOther = { maxWorkers: Math.min(availableParallelism(), 8), sequence: { groupOrder: 1 } } as const

/** One file at a time, in processes of their own, when all before are done: the machine is theirs. */
const alone = (turn: number) => ({ fileParallelism: false, sequence: { groupOrder: turn } })

/**
 * A package's own tests: no real peers, and child processes only for what no mock can show (a command line, a file
 * descriptor, a foreign mount). All of them together stay under a minute.
 */
const unit = (name: string) => ({
  extends: true as const,
  test: { name, root: `packages/${name}`, include: ['test/**/*.test.ts'], exclude: [processes], ...together },
})

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: {
    // So that a hang ends. Nothing waits for a time to pass, and a machine that is busy with other things is slow: a test
    // may wait for several things, for half a minute each.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    expect: { poll: { timeout: 30_000 } },
    projects: [
      ...['core', 'smtp', 'imap', 'maildir', 'gateway', 'bench'].map(unit),
      { extends: true, test: { name: 'tree', root: 'test', include: ['*.test.ts', 'kit/**/*.test.ts'], ...together } },
      {
        extends: true,
        test: { name: 'processes', root: 'packages', include: [`*/test/${processes}`], ...besideEachOther },
      },
      {
        // Real peers (HAProxy, nginx, swaks …) and the gateway as child processes.
        extends: true,
        test: {
          name: 'end-to-end',
          root: 'test',
          include: ['end-to-end/**/*.test.ts', 'faults/**/*.test.ts'],
          exclude: attacks,
          ...besideEachOther,
        },
      },
      {
        extends: true,
        test: { name: 'attacks', root: 'test', include: attacks, ...alone(2) },
      },
      {
        // Ratios of times.
        extends: true,
        test: { name: 'speed', root: 'test', include: ['speed/**/*.test.ts'], ...alone(3) },
      },
    ],
    coverage: {
      provider: 'v8',
      // Against the folder of each package, not of the tree.
      include: ['src/**'],
      thresholds: { '**/packages/core/src/**': { branches: 100, functions: 100, lines: 100, statements: 100 } },
      skipFull: true,
    },
  },
})

import { defineConfig } from 'vitest/config'

const conditions = ['@postern/source']

/** Processes of ours that are started to be killed. They take seconds each, and want the machine for themselves. */
const processes = '**/processes.test.ts'

/**
 * A package's own tests: no real peers, and child processes only for what no mock can show (a command line, a file
 * descriptor, a foreign mount). All of them together stay under a minute.
 */
const unit = (name: string) => ({
  extends: true as const,
  test: { name, root: `packages/${name}`, include: ['test/**/*.test.ts'], exclude: [processes] },
})

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: {
    // So that a hang ends. Nothing waits for a time to pass, and a machine that is busy with other things is slow.
    testTimeout: 60_000,
    hookTimeout: 60_000,
    expect: { poll: { timeout: 30_000 } },
    projects: [
      ...['core', 'smtp', 'imap', 'maildir', 'gateway', 'bench'].map(unit),
      { extends: true, test: { name: 'tree', root: 'test', include: ['*.test.ts', 'kit/**/*.test.ts'] } },
      {
        extends: true,
        test: { name: 'processes', root: 'packages', include: [`*/test/${processes}`], fileParallelism: false },
      },
      {
        // Real peers (HAProxy, nginx, swaks …) and the gateway as child processes: one file at a time on a small machine.
        extends: true,
        test: {
          name: 'end-to-end',
          root: 'test',
          include: ['end-to-end/**/*.test.ts', 'faults/**/*.test.ts'],
          fileParallelism: false,
        },
      },
      {
        // Ratios of times: after everything else, so that nothing else runs meanwhile.
        extends: true,
        test: {
          name: 'speed',
          root: 'test',
          include: ['speed/**/*.test.ts'],
          sequence: { groupOrder: 1 },
          fileParallelism: false,
        },
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

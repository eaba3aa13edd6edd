/*
 * Loaded into a server before it starts, makes each connection that it accepts cost some microseconds more, in a busy loop.
 * So a guard shows that it would notice.
 */
import { EventEmitter } from 'node:events'
import { Server } from 'node:net'

/** Microseconds; nothing happens without it. */
export const slowVariable = 'POSTERN_BENCH_SLOW_US'

const slowUs = Number(process.env[slowVariable] ?? 0)

if (slowUs > 0) {
  const emit = Object.getOwnPropertyDescriptor(EventEmitter.prototype, 'emit')!.value as Emit
  Server.prototype.emit = function slowed(this: Server, ...args: Parameters<Emit>): boolean {
    if (args[0] === 'connection') spin(slowUs)
    return emit.apply(this, args)
  }
}

type Emit = (this: unknown, event: string | symbol, ...args: unknown[]) => boolean

function spin(us: number): void {
  const until = performance.now() + us / 1_000
  while (performance.now() < until);
}

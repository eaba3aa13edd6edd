/*
 * The load generator, in a process of its own: opens connections, sends a header first, and takes the time until the
 * whole greeting is there, or until its message was acknowledged. A connection counts when the server has closed it too,
 * so that nothing of it is left to do.
 */
import { connect } from 'node:net'

/** What a connection carries: nothing, once it was greeted; or one message of 2 KB. */
export type Cargo = 'nothing' | 'message'

export interface Load {
  readonly port: number
  /** What goes out first, in hex; empty for none. */
  readonly header: string
  readonly connections: number
  /** How many of them at a time. */
  readonly atOnce: number
  readonly cargo: Cargo
}

export type LoadOutcome =
  | { readonly latenciesUs: readonly number[]; readonly greeting: string }
  | { readonly failed: string }

async function run({ port, header, connections, atOnce, cargo }: Load): Promise<LoadOutcome> {
  const bytes = Buffer.from(header, 'hex')
  const latenciesUs: number[] = []
  let left = connections
  let greeting = ''
  const client = async (): Promise<void> => {
    while (left-- > 0) {
      const visited = await visit(port, bytes, dialogues[cargo])
      latenciesUs.push(visited.us)
      greeting = visited.greeting
    }
  }
  try {
    await Promise.all(Array.from({ length: atOnce }, client))
    return { latenciesUs, greeting }
  } catch (error) {
    return { failed: `after ${latenciesUs.length} connections: ${String(error)}` }
  }
}

/** What the client says next, and how many replies end its turn. */
interface Turn {
  readonly says: string
  readonly replies: number
}

const line = `${'0123456789abcdef'.repeat(4)}\r\n`
const body = `Subject: a message of two kilobytes\r\n\r\n${line.repeat(30)}.\r\n`
const dialogues: Readonly<Record<Cargo, readonly Turn[]>> = {
  nothing: [],
  message: [
    { says: 'EHLO client.example\r\n', replies: 1 },
    { says: 'MAIL FROM:<ann@example.net>\r\nRCPT TO:<bob@example.org>\r\nDATA\r\n', replies: 3 },
    { says: body, replies: 1 },
  ],
}

function visit(
  port: number,
  header: Buffer,
  turns: readonly Turn[],
): Promise<{ readonly us: number; readonly greeting: string }> {
  return new Promise((resolve, reject) => {
    const start = process.hrtime.bigint()
    let us = 0
    let greeting = ''
    let rest = ''
    let turn = 0
    let awaited = 1
    const socket = connect({ port, host: '127.0.0.1' })
    if (header.length > 0) socket.write(header)
    socket.on('data', (chunk: Buffer) => {
      const lines = (rest + chunk.toString('latin1')).split('\n')
      rest = lines.pop() ?? ''
      for (const reply of lines.filter((each) => each[3] !== '-')) {
        if (!/^[23]/.test(reply)) reject(new Error(`refused: ${JSON.stringify(reply.slice(0, 200))}`))
        if (greeting === '') greeting = `${reply}\n`
        awaited--
      }
      if (awaited > 0) return
      const next = turns[turn++]
      if (next === undefined) {
        us = Number(process.hrtime.bigint() - start) / 1_000
        socket.end()
      } else {
        awaited = next.replies
        socket.write(next.says)
      }
    })
    socket.on('error', reject)
    socket.on('close', () => {
      if (us > 0) resolve({ us, greeting })
      else reject(new Error(`closed behind ${JSON.stringify(greeting + rest.slice(0, 200))}`))
    })
  })
}

process.on('message', (load: Load) => {
  void run(load).then((outcome) => process.send?.(outcome))
})

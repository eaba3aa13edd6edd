import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { decode, encode, RECURSION_AVAILABLE, type Answer, type Packet } from 'dns-packet'

/** A record of the zone, as in `PTR mx.example.net`; or how the server misbehaves. */
type StubRecord =
  | `${'A' | 'AAAA' | 'PTR' | 'TXT'} ${string}`
  | 'silence'
  | 'SERVFAIL'
  | 'REFUSED'
  | 'truncated'
  | 'wrong id'

export interface StubDns {
  /** As the configuration has it. */
  readonly address: string
  /** Every question, as in `PTR 7.113.0.203.in-addr.arpa`. */
  readonly questions: string[]
  /** Changed at any time. Names that are not there do not exist. */
  readonly zone: Map<string, readonly StubRecord[]>
  readonly close: () => void
}

/** A DNS server over UDP on loopback. */
export async function startStubDns(zone: Readonly<Record<string, readonly StubRecord[]>>, ttl = 300): Promise<StubDns> {
  const server = createSocket('udp4')
  const stub = { questions: [] as string[], zone: new Map(Object.entries(zone)) }
  server.on('message', (message, { address, port }) => {
    const packet = decode(message)
    const [question] = packet.questions ?? []
    if (question === undefined) return
    const { name, type } = question
    stub.questions.push(`${type} ${name.toLowerCase()}`)
    const records = stub.zone.get(name.toLowerCase())
    const reply = replyTo(packet, type, records, ttl)
    if (reply !== undefined) server.send(encode(reply), port, address)
  })
  server.bind(0, '127.0.0.1')
  await once(server, 'listening')
  return { ...stub, address: `127.0.0.1:${server.address().port}`, close: () => void server.close() }
}

/** RFC 1035 section 4.1.1: bit TC, and the codes that a server answers with. */
const truncated = 0x200
const responseCodes: ReadonlyMap<unknown, number> = new Map([
  ['SERVFAIL', 2],
  ['REFUSED', 5],
])
const nxDomain = 3

function replyTo(
  { id = 0, questions = [] }: Packet,
  type: string,
  records: readonly StubRecord[] | undefined,
  ttl: number,
): Packet | undefined {
  const [first] = records ?? []
  if (first === 'silence') return undefined
  const code = records === undefined ? nxDomain : (responseCodes.get(first) ?? 0)
  const name = questions[0]?.name ?? ''
  const answers = (records ?? []).flatMap((record): Answer[] => {
    const [kind = ''] = record.split(' ', 1)
    const data = record.slice(kind.length + 1)
    return kind === type ? [{ name, type: kind as 'A', ttl, data }] : []
  })
  return {
    type: 'response',
    id: first === 'wrong id' ? id ^ 1 : id,
    flags: RECURSION_AVAILABLE | code | (first === 'truncated' ? truncated : 0),
    questions,
    answers,
  }
}

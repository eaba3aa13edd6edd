// Tells what a PROXY header says: bytes on standard input, up to the end of the header or of the input.
//
//   printf 'PROXY TCP4 203.0.113.7 192.0.2.10 45678 25\r\nEHLO client.example\r\n' | node examples/core/parse-a-header.ts
import { formatEndpoint, parseProxyHeader, proxyErrors, readAuthority, readUniqueId, tlvType } from '@postern/core'

let bytes = Buffer.alloc(0)
let parse = parseProxyHeader(bytes)
for await (const chunk of process.stdin) {
  bytes = Buffer.concat([bytes, chunk as Buffer])
  // The answer is the same however the bytes come; `more` says how many it takes at the least.
  parse = parseProxyHeader(bytes)
  if (parse.status !== 'more') break
}

switch (parse.status) {
  case 'done': {
    const { version, command, source, destination, tlvs, length } = parse.header
    console.log(`version ${version}, ${command}, ${length} bytes; ${bytes.length - length} bytes follow`)
    // Without addresses (LOCAL, UNKNOWN) the sender speaks for itself: use the addresses of its connection.
    if (source && destination) console.log(`from ${formatEndpoint(source)} to ${formatEndpoint(destination)}`)
    for (const { type, value } of tlvs) {
      // Text in a TLV is what a stranger may have chosen: the readers let through only what is safe to print.
      if (type === tlvType.authority) console.log(`asked for ${readAuthority(value) ?? 'no name that can be shown'}`)
      else if (type === tlvType.uniqueId) console.log(`unique id ${readUniqueId(value) ?? ''}`)
      else console.log(`TLV 0x${type.toString(16)}, ${value.length} bytes`)
    }
    break
  }
  case 'more':
    console.error(`the header is not whole: ${bytes.length} bytes of at least ${parse.atLeast}`)
    process.exitCode = 2
    break
  case 'bad':
    console.error(`${parse.code} at byte ${parse.at}: ${proxyErrors[parse.code]}`)
    process.exitCode = 1
}

export type * from './contracts/index.ts'
export { ByteQueue } from './bytes/byte-queue.ts'
export { LineReader, type LineEvent } from './bytes/line-reader.ts'
export { secret } from './identity/secret.ts'
export { createTrustRule, type TrustMode, type TrustRule } from './identity/trust.ts'
export { ipv4FromBytes, ipv4FromNumber, ipv6FromBytes, ipv6FromWords } from './ip/address.ts'
export { compileCidrSet, type CidrCompilation, type CidrProblem, type CidrSet } from './ip/cidr.ts'
export { endpoint, formatEndpoint, parseIpAddress } from './ip/text.ts'
export {
  ConnectionLostError,
  runSession,
  type PumpOptions,
  type RunningSession,
  type SessionEnd,
} from './session/pump.ts'

export type * from './contracts/index.ts'
export { secret } from './identity/secret.ts'
export {
  ConnectionLostError,
  runSession,
  type PumpOptions,
  type RunningSession,
  type SessionEnd,
} from './session/pump.ts'

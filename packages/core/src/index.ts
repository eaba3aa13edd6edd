export type * from './contracts/index.ts'
export { ByteQueue } from './bytes/byte-queue.ts'
export { LineReader, type LineEvent } from './bytes/line-reader.ts'
export { proxyErrors, type ProxyErrorCode, type ProxyRefusalCode, type ProxySendCode } from './errors.ts'
export { newConnectionId } from './identity/connection-id.ts'
export { channelSecurityFrom, identify } from './identity/identity.ts'
export { secret } from './identity/secret.ts'
export { createTrustRule, type TrustMode, type TrustRule } from './identity/trust.ts'
export { ipv4FromBytes, ipv4FromNumber, ipv6FromBytes, ipv6FromWords } from './ip/address.ts'
export { compileCidrSet, type CidrCompilation, type CidrProblem, type CidrSet } from './ip/cidr.ts'
export { endpoint, formatEndpoint, parseIpAddress } from './ip/text.ts'
export { limits } from './limits.ts'
export { crc32c } from './proxy/crc32c.ts'
export { encodeProxyDatagram, parseProxyDatagram, type ProxyDatagram } from './proxy/datagram.ts'
export { encodeSimpleProxyDatagram, parseSimpleProxyDatagram, type SimpleProxyDatagram } from './proxy/simple-proxy.ts'
export {
  encodeProxyHeader,
  headerAnnouncing,
  reencodeProxyHeader,
  type BinaryHeader,
  type Encoded,
  type EncodeOptions,
  type HeaderToSend,
  type InetHeader,
  type UnixHeader,
  type UnixName,
} from './proxy/encode.ts'
export { explainHeader, type HeaderRecord, type SslRecord, type TlvRecord, type TlvValue } from './proxy/explain.ts'
export type { ParseStatus, ProxyCommand, ProxyFamily, ProxyHeader, ProxyTransport } from './proxy/header.ts'
export { parseProxyHeader, ProxyHeaderReader, type ProxyParse } from './proxy/parse.ts'
export { looksLikeProxyHeader, mayBecomeProxyHeader } from './proxy/signature.ts'
export { readSsl, sslClientBit, sslSubType, sslTlv, tlsClaimFrom, type SslFacts, type SslTlv } from './proxy/tlv-ssl.ts'
export { readVendorTlv, vendorTlvType, type VendorTlv } from './proxy/tlv-vendor.ts'
export {
  readAlpn,
  readAuthority,
  readCrc32c,
  readNetns,
  readUniqueId,
  TlvCursor,
  tlvType,
  type Tlv,
  type Tlvs,
} from './proxy/tlv.ts'
export { chooseSasl, type SaslAnswer, type SaslClient, type SaslClientCredentials } from './sasl/client.ts'
export { beginSasl, type SaslExchange, type SaslStep } from './sasl/exchange.ts'
export { offeredMechanisms, type SaslMechanism } from './sasl/mechanisms.ts'
export { prepareScramPassword } from './sasl/prepare.ts'
export { decoyScramKeys, deriveScramKeys } from './sasl/scram-keys.ts'
export { signInByPassword } from './sasl/sign-in.ts'
export type { SaslContext, SaslEnd } from './sasl/steps.ts'
export {
  createSessionServer,
  tlsModeOf,
  type SessionServer,
  type SessionServerObserver,
  type SessionServerOptions,
} from './server/session-server.ts'
export type { ServerTlsOptions } from './server/tls.ts'
export { MailboxGoneError } from './session/mailbox-gone.ts'
export { limitTime, type TimeLimit } from './session/time-limit.ts'
export { ConnectionLostError } from './session/outbox.ts'
export { runSession, type PumpOptions, type RunningSession, type SessionEnd } from './session/pump.ts'
export { escapeBytes, receiveHeader, type HeaderOutcome, type ReceiveHeaderOptions } from './socket/receive-header.ts'
export { connect, type Connecting } from './socket/connect.ts'
export { localOf, peerOf } from './socket/endpoints.ts'
export { sayGoodbye } from './socket/goodbye.ts'
export { exporterOf } from './socket/tls-exporter.ts'
export { identityOf, proxied, type ProxiedObserver, type ProxiedOptions } from './socket/proxied.ts'
export { readProxyHeader, type ProxyReading, type ReadProxyHeaderOptions } from './socket/read-proxy-header.ts'

/* What a client that is handed on is told of its backend (RFC 3501 section 7.2.1). */

/**
 * What a backend may offer only to us: how to sign in and to secure a connection, which is done; to go elsewhere (RFC 2221, RFC
 * 2193), which is for routes to say; and to sign out (RFC 8437), behind which it would run a login that no rule here was
 * asked about.
 */
const ours = /^(?:STARTTLS|LOGINDISABLED|AUTH=.*|SASL-IR|LOGIN-REFERRALS|MAILBOX-REFERRALS|UNAUTHENTICATE)$/i

export function passedCapabilities(offered: readonly string[]): readonly string[] {
  return offered.filter((name) => /^[!-~]+$/.test(name) && !name.includes(']') && !ours.test(name))
}

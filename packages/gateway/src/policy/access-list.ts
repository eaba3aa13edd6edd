import type { CidrSet, Policy } from '@postern/core'

/** Refuses clients of listed networks, for good: SMTP 554, or what the operator wants to be said. */
export function accessList(networks: CidrSet, reply?: { readonly code: number; readonly text: string }): Policy {
  return {
    name: 'deny',
    onConnect({ identity }) {
      const network = networks.find(identity.client.address)
      if (network === undefined) return { verdict: 'pass' }
      return {
        verdict: 'refuse',
        reason: 'listed',
        detail: `${identity.client.address.toString()} is in ${network} of policy.deny`,
        ...(reply && { reply: { smtpCode: reply.code, text: reply.text } }),
      }
    },
  }
}

import type { AcmeConfig } from '../config/schema.ts'

/** Where port 80 of the names must lead, for sentences. */
export function placeOf({ bind }: Pick<AcmeConfig, 'bind'>): string {
  return bind === undefined
    ? 'the admin endpoint of this gateway, for /.well-known/acme-challenge/'
    : `port ${bind.port} of this gateway`
}

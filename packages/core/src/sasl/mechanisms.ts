import { commonNameOf, external } from './external.ts'
import { login, plain } from './plain.ts'
import { oauthbearer, xoauth2 } from './bearer.ts'
import { exporterOf, scram } from './scram.ts'
import type { Challenge, SaslContext } from './steps.ts'

/** The mechanisms that there are (IANA's registry of SASL mechanisms). */
export type SaslMechanism =
  | 'SCRAM-SHA-256-PLUS'
  | 'SCRAM-SHA-256'
  | 'EXTERNAL'
  | 'OAUTHBEARER'
  | 'XOAUTH2'
  | 'PLAIN'
  | 'LOGIN'

/** What an offer depends on. */
type Conditions = Pick<SaslContext, 'authenticator' | 'connection'>

interface Mechanism {
  readonly name: SaslMechanism
  /** Nothing is offered that the authenticator cannot check, or the connection does not bear. */
  readonly isOffered: (conditions: Conditions) => boolean
  readonly begin: (context: SaslContext) => Challenge
}

/** The strongest first: clients that choose by order choose well. */
const mechanisms: readonly Mechanism[] = [
  {
    name: 'SCRAM-SHA-256-PLUS',
    isOffered: (conditions) => takesScram(conditions) && exporterOf(conditions.connection) !== undefined,
    begin: (context) => scram(context, true),
  },
  { name: 'SCRAM-SHA-256', isOffered: takesScram, begin: (context) => scram(context, false) },
  {
    name: 'EXTERNAL',
    isOffered: ({ authenticator, connection }) =>
      authenticator.verifyCertificate !== undefined && commonNameOf(connection) !== '',
    begin: external,
  },
  { name: 'OAUTHBEARER', isOffered: takesTokens, begin: oauthbearer },
  { name: 'XOAUTH2', isOffered: takesTokens, begin: xoauth2 },
  { name: 'PLAIN', isOffered: takesPasswords, begin: plain },
  { name: 'LOGIN', isOffered: takesPasswords, begin: login },
]

function takesScram({ authenticator }: Conditions): boolean {
  return authenticator.scramKeys !== undefined
}

function takesTokens({ authenticator }: Conditions): boolean {
  return authenticator.verifyToken !== undefined
}

function takesPasswords({ authenticator }: Conditions): boolean {
  return authenticator.verify !== undefined
}

/**
 * The mechanisms to offer on a connection, the strongest first. Whether any may be offered before TLS is for the caller to
 * say: nothing here asks for it.
 */
export function offeredMechanisms(
  conditions: Pick<SaslContext, 'authenticator' | 'connection'>,
): readonly SaslMechanism[] {
  return mechanisms.filter(({ isOffered }) => isOffered(conditions)).map(({ name }) => name)
}

/** By the name that a client gave, when it is offered. RFC 4422 section 3.1: names are compared in capitals. */
export function findMechanism(name: string, conditions: Conditions): Mechanism | undefined {
  const wanted = name.toUpperCase()
  return mechanisms.find((mechanism) => mechanism.name === wanted && mechanism.isOffered(conditions))
}

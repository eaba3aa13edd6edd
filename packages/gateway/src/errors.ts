/*
 * The catalogue of this package's codes. What a client can cause is a value and has no class here, and what is wrong with
 * a configuration is a list of problems; these are for broken I/O, misuse and bugs.
 */

/** Each stable code with a sentence for operators, and whether trying again later may help. */
export const codes = {
  GATEWAY_ACCOUNTS: {
    meaning: 'The accounts file could not be read, or what is in it cannot be used.',
    temporary: true,
  },
  GATEWAY_PASSWORD_QUEUE_FULL: {
    meaning: 'More password checks wait than the configuration allows.',
    temporary: true,
  },
  GATEWAY_INTROSPECTION: {
    meaning: 'The service that knows tokens (`accounts.oauth`) could not be asked, or its answer cannot be used.',
    temporary: true,
  },
  GATEWAY_TOKEN_QUEUE_FULL: {
    meaning: 'More token checks wait than is allowed.',
    temporary: true,
  },
  GATEWAY_NOT_HEX: {
    meaning: '`inspect --lines` was given a line that is no hexadecimal text.',
    temporary: false,
  },
} as const

export type GatewayErrorCode = keyof typeof codes

export class GatewayError extends Error {
  override readonly name: string = 'GatewayError'
  readonly code: GatewayErrorCode
  readonly temporary: boolean
  /** For the operator; never sent to a client. */
  readonly detail: string

  constructor(code: GatewayErrorCode, detail: string, options?: ErrorOptions) {
    super(detail, options)
    this.code = code
    this.temporary = codes[code].temporary
    this.detail = detail
  }
}

/** What a mechanism of ours does. */
export interface ClientMechanism {
  readonly initial: string | undefined
  /** Why not, for the operator, when it is no response. */
  answer(challenge: Buffer): Promise<string | { readonly problem: string }>
  readonly isComplete: boolean
}

/*
 * What is counted against a limit: of whom, and what. Each meter counts by itself, in every worker and, for the machine,
 * in the supervisor; a meter without a limit counts nothing.
 */
import type { PolicyConfig, Rate } from '../config/schema.ts'
import type { TallyLimits } from './tally.ts'

/** In the order in which a client meets them. */
export const meters = [
  'client-connections',
  'network-connections',
  'client-commands',
  'client-messages',
  'user-messages',
  'client-recipients',
  'user-recipients',
  'user-sessions',
] as const

export type Meter = (typeof meters)[number]

/** Those that mail is counted by. */
export type MailMeter = Extract<Meter, `${string}-messages` | `${string}-recipients`>
export const mailMeters: readonly MailMeter[] = [
  'client-messages',
  'user-messages',
  'client-recipients',
  'user-recipients',
]

type Limits = Pick<PolicyConfig, 'rate' | 'concurrency'>

const limitOf: Readonly<Record<Meter, (limits: Limits) => TallyLimits>> = {
  'client-connections': ({ rate, concurrency }) =>
    connections(rate.connectionsPerClient, concurrency.connectionsPerClient),
  'network-connections': ({ rate, concurrency }) =>
    connections(rate.connectionsPerNetwork, concurrency.connectionsPerNetwork),
  'client-commands': ({ rate }) => events(rate.commandsPerClient),
  'client-messages': ({ rate }) => events(rate.messagesPerClient),
  'user-messages': ({ rate }) => events(rate.messagesPerUser),
  'client-recipients': ({ rate }) => events(rate.recipientsPerClient),
  'user-recipients': ({ rate }) => events(rate.recipientsPerUser),
  'user-sessions': ({ concurrency }) => connections('unlimited', concurrency.sessionsPerUser),
}

/** The limit of a meter; without any bound in it nothing is counted. */
export function limitsOf(meter: Meter, limits: Limits): TallyLimits {
  return limitOf[meter](limits)
}

export function isLimited({ rate, concurrent }: TallyLimits): boolean {
  return rate !== undefined || concurrent !== undefined
}

/** The key of the configuration that sets a meter's rate, for the sentence in the log. */
export const rateKeys: Readonly<Record<Exclude<Meter, 'user-sessions'>, string>> = {
  'client-connections': 'policy.rate.connections-per-client',
  'network-connections': 'policy.rate.connections-per-network',
  'client-commands': 'policy.rate.commands-per-client',
  'client-messages': 'policy.rate.messages-per-client',
  'user-messages': 'policy.rate.messages-per-user',
  'client-recipients': 'policy.rate.recipients-per-client',
  'user-recipients': 'policy.rate.recipients-per-user',
}

function connections(rate: Rate | 'unlimited', concurrent: number | 'unlimited'): TallyLimits {
  return { ...rateOf(rate), ...(concurrent === 'unlimited' ? {} : { concurrent }) }
}

function events(rate: Rate | 'unlimited'): TallyLimits {
  return { ...rateOf(rate), isOverAtOnce: true }
}

function rateOf(rate: Rate | 'unlimited'): Pick<TallyLimits, 'rate'> {
  return rate === 'unlimited' ? {} : { rate: { count: rate.count, perMs: rate.perMs } }
}

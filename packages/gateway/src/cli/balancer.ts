import { resolve } from 'node:path'
import { Argument, Command, InvalidArgumentError } from 'commander'
import { awsNlbText } from '../balancer/aws-nlb.ts'
import { caddyNotes, caddyText } from '../balancer/caddy.ts'
import { envoyText } from '../balancer/envoy.ts'
import { haproxyText } from '../balancer/haproxy.ts'
import { nginxText } from '../balancer/nginx.ts'
import {
  parseFrontAddress,
  parseGatewayAddress,
  planBalancer,
  type BalancerPlan,
  type FrontAddress,
} from '../balancer/plan.ts'
import { traefikText } from '../balancer/traefik.ts'
import { loadListeners } from '../config/load.ts'
import { exitStatus } from './exit-status.ts'
import { problemText } from './problem-text.ts'
import { CommandFailure, print, type Terminal } from './terminal.ts'

interface Balancer {
  readonly text: (plan: BalancerPlan) => string
  /** What a reader must know and the file cannot say. */
  readonly notes?: (plan: BalancerPlan) => readonly string[]
}

const balancers: Readonly<Record<string, Balancer>> = {
  haproxy: { text: haproxyText },
  nginx: { text: nginxText },
  envoy: { text: envoyText },
  traefik: { text: traefikText },
  caddy: { text: caddyText, notes: caddyNotes },
  'aws-nlb': { text: awsNlbText },
}

interface BalancerOptions {
  readonly config: string
  readonly listener: readonly string[]
  readonly gateway: readonly string[]
  readonly listen: readonly FrontAddress[]
}

export function balancerCommand(terminal: Terminal, finish: (status: number) => void): Command {
  return new Command('balancer')
    .summary('write the configuration of the balancer in front')
    .description(
      'Prints a configuration of a balancer that matches a configuration of Postern: its listeners, PROXY headers, health checks, idle times.',
    )
    .addArgument(new Argument('<kind>', 'the balancer').choices(Object.keys(balancers)))
    .requiredOption('-c, --config <file>', "Postern's configuration file")
    .option('--listener <name>', 'only this listener; may be repeated', append, [])
    .option('--gateway <address>', 'how the balancer reaches a gateway; may be repeated', appendGateway, [])
    .option('--listen <where>', '[NAME=]ADDRESS[:PORT] of the balancer; may be repeated', appendFront, [])
    .addHelpText(
      'after',
      `
Without --listener all listeners that take a PROXY header are served, each on the registered port of its protocol. Certificates
and other files that the configuration names need not be on this machine.

Exit status: 0 when a configuration was printed; 1 when it cannot be made, with the reason on standard error.`,
    )
    .action(async (kind: string, options: BalancerOptions) => finish(await write(terminal, kind, options)))
}

async function write(terminal: Terminal, kind: string, options: BalancerOptions): Promise<number> {
  const outcome = await loadListeners(resolve(terminal.cwd, options.config))
  if (!outcome.ok) {
    for (const problem of outcome.problems) terminal.stderr.write(problemText(problem, terminal.cwd))
    return exitStatus.wrong
  }
  const planned = planBalancer(outcome.listeners, outcome.live, {
    names: options.listener,
    gateways: options.gateway,
    front: options.listen,
  })
  if (!planned.ok) throw new CommandFailure(exitStatus.wrong, planned.reason)
  const balancer = balancers[kind]
  if (balancer === undefined) throw new TypeError(`${kind} passed the command line, but is no balancer`)
  for (const note of balancer.notes?.(planned.plan) ?? []) terminal.stderr.write(`${note}\n`)
  await print(terminal.stdout, balancer.text(planned.plan))
  return exitStatus.ok
}

function append(text: string, before: readonly string[]): readonly string[] {
  return [...before, text]
}

function appendGateway(text: string, before: readonly string[]): readonly string[] {
  const address = parseGatewayAddress(text)
  if (address === undefined) throw new InvalidArgumentError('It must be one IP address, without a port.')
  return [...before, address]
}

function appendFront(text: string, before: readonly FrontAddress[]): readonly FrontAddress[] {
  const address = parseFrontAddress(text)
  if (address === undefined) throw new InvalidArgumentError('It must be [NAME=]ADDRESS[:PORT], as in mx=192.0.2.1:25.')
  return [...before, address]
}

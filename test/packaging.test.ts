// The image, the compositions and the manifests under examples/, tied to what the code has: ports, paths, times and keys. Each is
// read by a linter of its own kind; no container engine is needed. The image's contents are run in end-to-end/image.test.ts.
import { execFileSync } from 'node:child_process'
import { existsSync, globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { DCLinter } from 'dclint'
import { validate } from 'dockerfile-utils'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parse, parseAllDocuments } from 'yaml'
import { readToken } from '../packages/gateway/src/admin/token-file.ts'
import { makeSelfSignedCertificate } from '../packages/gateway/src/certificate/self-signed.ts'
import { parseConfig } from '../packages/gateway/src/config/load.ts'
import type { Config } from '../packages/gateway/src/config/schema.ts'
import { limits } from '../packages/gateway/src/limits.ts'

const root = join(import.meta.dirname, '..')
const read = (path: string): string => readFileSync(join(root, path), 'utf8')

let folder = ''
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'postern-packaging-'))
  const made = await makeSelfSignedCertificate({
    hostname: 'mx.example.org',
    addresses: [],
    notBefore: new Date(),
    validDays: 2,
  })
  writeFileSync(join(folder, 'cert.pem'), made.cert)
  writeFileSync(join(folder, 'key.pem'), made.key, { mode: 0o600 })
  writeFileSync(join(folder, 'token'), 'a token of sixteen characters'.replaceAll(' ', '-'), { mode: 0o600 })
})
afterAll(() => {
  rmSync(folder, { recursive: true })
})

/** A configuration as `postern check` reads it, with a certificate of this machine. */
async function checked(text: string): Promise<Config> {
  const here = text
    .replaceAll(/"[^"]+\.(?:pem|crt)"/g, '"cert.pem"')
    .replaceAll(/"[^"]+\.key"/g, '"key.pem"')
    .replaceAll(/"[^"]+\/token"/g, '"token"')
  const outcome = await parseConfig(here, { file: 'postern.toml', baseDir: folder })
  if (!outcome.ok) throw new Error(JSON.stringify(outcome.problems))
  return outcome.config
}

/** From SIGTERM to the end of the slowest drain: what comes ahead of it with `postern drain` is `drainNoticeMs`. */
function endsWithinMs(config: Config): number {
  return config.live.limits.drainTimeoutMs + 2 * limits.farewellMs
}

function portsOf({ start }: Config): number[] {
  return start.listeners.flatMap(({ bind }) => bind.map(({ port }) => port))
}

describe('Dockerfile', () => {
  const text = read('Dockerfile')
  const lines = text.replaceAll('\\\n', ' ').split('\n')

  test('its linter finds nothing', () => {
    expect(validate(text)).toEqual([])
  })

  test('installs from every manifest of the workspace', () => {
    const copied = lines.flatMap((line) => /^COPY (\S+\/package\.json) /.exec(line)?.[1] ?? []).sort()
    expect(copied).toEqual(globSync('{packages,tools}/*/package.json', { cwd: root }).sort())
    const ignored = read('.dockerignore').split('\n')
    for (const path of [
      'package.json',
      'pnpm-lock.yaml',
      'pnpm-workspace.yaml',
      'tsconfig.json',
      'tsconfig.base.json',
    ]) {
      expect(ignored).toContain(`!${path}`)
      expect(existsSync(join(root, path))).toBe(true)
    }
  })

  test('runs on the Node that the tests run on', () => {
    const { nodeVersion } = parse(read('pnpm-workspace.yaml')) as { readonly nodeVersion: string }
    const bases = lines.filter((line) => line.startsWith('FROM '))
    expect(bases.length).toBe(2)
    for (const line of bases) expect(line).toContain(`node:${nodeVersion}-`)
  })

  test('has no rights: a user of its own, ports above 1023', () => {
    expect(lines.filter((line) => line.startsWith('USER '))).toEqual(['USER node'])
    const exposed = lines
      .find((line) => line.startsWith('EXPOSE '))
      ?.split(' ')
      .slice(1)
      .map(Number)
    expect(exposed?.every((port) => port > 1023)).toBe(true)
  })
})

describe('examples/compose', () => {
  interface Service {
    readonly image?: string
    readonly build?: { readonly context: string }
    readonly read_only?: boolean
    readonly cap_drop?: readonly string[]
    readonly stop_grace_period?: string
    readonly ports?: readonly string[]
    readonly volumes?: readonly string[]
    readonly networks?: { readonly mail: { readonly ipv4_address: string } }
  }
  /** The linter's own declarations cannot be read under Node's rules for modules. */
  interface Linted {
    readonly messages: readonly { readonly type: string; readonly line: number; readonly message: string }[]
  }
  const { services } = parse(read('examples/compose/compose.yaml'), { merge: true }) as {
    readonly services: Readonly<Record<string, Service>>
  }
  const addressOf = (name: string): string => services[name]?.networks?.mail.ipv4_address ?? ''

  test('its linter finds no error', () => {
    const linter = new DCLinter({ quiet: true, rules: {}, debug: false, exclude: [] })
    const results: readonly Linted[] = linter.lintFiles([join(root, 'examples/compose/compose.yaml')], false)
    expect(results).toHaveLength(1)
    // Its warnings are about the order of keys.
    const errors = results.flatMap(({ messages }) => messages.filter(({ type }) => type === 'error'))
    expect(errors.map(({ line, message }) => `${line}: ${message}`)).toEqual([])
  })

  test('the gateways can use their configuration, and trust HAProxy alone', async () => {
    const config = await checked(read('examples/compose/postern.toml'))
    for (const { proxy } of config.live.listeners) {
      expect([proxy.mode, proxy.trustedNetworks]).toEqual(['require', [addressOf('haproxy')]])
    }
    expect(portsOf(config)).toEqual([2525, 2993])
    expect(services['haproxy']?.ports).toEqual(['0.0.0.0:25:2525', '0.0.0.0:993:2993'])
    expect(config.live.upstreams.flatMap(({ backends }) => backends.map(({ address }) => address))).toEqual([
      { host: 'dovecot', port: 24 },
      { host: 'dovecot', port: 143 },
    ])
    expect(config.live.lookups[0]?.url).toBe('redis://valkey:6379')
    for (const name of ['gateway1', 'gateway2']) {
      const gateway = services[name]
      expect(gateway).toMatchObject({ read_only: true, cap_drop: ['ALL'], build: { context: '../..' } })
      expect(gateway?.volumes).toContain('./postern.toml:/etc/postern/postern.toml:ro')
      expect(gateway?.volumes).toContain(`${name}:${config.start.dataDir}`)
      expect(Number.parseInt(gateway?.stop_grace_period ?? '', 10) * 1000).toBeGreaterThan(endsWithinMs(config))
    }
  })

  test('Dovecot believes the gateways, and listens where they look for it', () => {
    const dovecot = read('examples/compose/dovecot.conf')
    expect(dovecot).toContain(`login_trusted_networks = ${addressOf('gateway1')} ${addressOf('gateway2')}\n`)
    expect(dovecot.match(/port = \d+/g)).toEqual(['port = 24', 'port = 143'])
  })
})

describe('examples/kubernetes', async () => {
  interface Manifest {
    readonly apiVersion: string
    readonly kind: string
    readonly data?: Readonly<Record<string, string>>
    readonly metadata: { readonly annotations?: Readonly<Record<string, string>> }
    readonly spec?: unknown
  }
  const manifests = parseAllDocuments(read('examples/kubernetes/postern.yaml')).map((document) => {
    for (const error of document.errors) throw error
    return document.toJS() as Manifest
  })
  const one = (kind: string): Manifest => {
    const found = manifests.find((manifest) => manifest.kind === kind)
    if (found === undefined) throw new Error(`there is no ${kind}`)
    return found
  }
  const config = (): Promise<Config> => checked(one('ConfigMap').data?.['postern.toml'] ?? '')

  /** By the OpenAPI description of Kubernetes, which these models are made from. */
  const models: Readonly<Record<string, object>> = {
    v1: await import('kubernetes-models/v1'),
    'apps/v1': await import('kubernetes-models/apps/v1'),
    'policy/v1': await import('kubernetes-models/policy/v1'),
    'networking.k8s.io/v1': await import('kubernetes-models/networking.k8s.io/v1'),
  }
  test.each(manifests.map((manifest) => [manifest.kind, manifest] as const))(
    '%s is what the API takes',
    (_, manifest) => {
      const group = models[manifest.apiVersion] as Readonly<
        Record<string, new (data: Manifest) => { readonly validate: () => void }>
      >
      const Model = group[manifest.kind]
      if (Model === undefined) throw new Error(`there is no such kind in ${manifest.apiVersion}`)
      expect(() => new Model(manifest).validate()).not.toThrow()
    },
  )

  interface Container {
    readonly ports: readonly { readonly name: string; readonly containerPort: number }[]
    readonly readinessProbe: {
      readonly httpGet: { readonly path: string; readonly port: string }
      readonly periodSeconds: number
      readonly failureThreshold: number
    }
    readonly lifecycle: { readonly preStop: { readonly exec: { readonly command: readonly string[] } } }
    readonly securityContext: object
    readonly volumeMounts: readonly { readonly mountPath: string; readonly readOnly?: boolean }[]
  }
  const pod = (
    one('Deployment').spec as {
      readonly template: {
        readonly spec: {
          readonly terminationGracePeriodSeconds: number
          readonly initContainers: readonly [Pick<Container, 'volumeMounts'> & { readonly command: readonly string[] }]
          readonly containers: readonly [Container]
        }
      }
    }
  ).template.spec
  const [container] = pod.containers

  test('the pod has the ports of the configuration, and the service leads to them', async () => {
    const ports = new Map(container.ports.map(({ name, containerPort }) => [name, containerPort]))
    const { admin, ...listeners } = Object.fromEntries(ports)
    const used = await config()
    expect(new Set(Object.values(listeners))).toEqual(new Set(portsOf(used)))
    expect(admin).toBe(used.start.admin.bind?.port)
    expect(container.readinessProbe.httpGet).toEqual({ path: '/healthz', port: 'admin' })
    const service = one('Service').spec as {
      readonly ports: readonly { readonly targetPort: string; readonly port: number }[]
    }
    expect(service.ports.map(({ targetPort }) => targetPort).sort()).toEqual(Object.keys(listeners).sort())
    const annotations = Object.keys(one('Service').metadata.annotations ?? {})
    for (const { port } of service.ports) {
      expect(annotations).toContain(`service.beta.kubernetes.io/aws-load-balancer-listener-attributes.TCP-${port}`)
    }
  })

  test('whoever may send headers may reach the listeners, and nobody else', async () => {
    const used = await config()
    const policy = one('NetworkPolicy').spec as {
      readonly ingress: readonly [{ readonly from: readonly { readonly ipBlock: { readonly cidr: string } }[] }]
    }
    const admitted = policy.ingress[0].from.map(({ ipBlock }) => ipBlock.cidr)
    for (const { proxy } of used.live.listeners) {
      expect({ mode: proxy.mode, networks: proxy.trustedNetworks }).toEqual({ mode: 'require', networks: admitted })
    }
  })

  test('X5: preStop is a drain, which the image has, and which has its time', async () => {
    const used = await config()
    const [command, ...args] = container.lifecycle.preStop.exec.command
    const { mountPath } = container.volumeMounts.find(({ mountPath: path }) => path.endsWith('.toml')) ?? {}
    expect([command, args]).toEqual(['postern', ['drain', '-c', mountPath]])
    expect(read('Dockerfile')).toMatch(/\/bin\/postern\.mjs \/usr\/local\/bin\/postern\b/)
    const needsMs = used.live.limits.drainNoticeMs + endsWithinMs(used)
    expect(pod.terminationGracePeriodSeconds * 1000).toBeGreaterThan(needsMs)
    // The balancer looks every so often, and needs that many failures: both of readiness, which is slower than its own.
    const { periodSeconds, failureThreshold } = container.readinessProbe
    expect(used.live.limits.drainNoticeMs).toBeGreaterThan(periodSeconds * failureThreshold * 1000)
  })

  test('the init container makes the token that the drain needs, as the gateway wants it', async () => {
    const text = one('ConfigMap').data?.['postern.toml'] ?? ''
    const [, tokenFile = ''] = /^token-file = "(.+)"$/m.exec(text) ?? []
    const [init] = pod.initContainers
    const [node, flag, script = ''] = init.command
    expect([node, flag]).toEqual(['node', '-e'])
    expect(init.volumeMounts).toEqual([{ name: 'run', mountPath: dirname(tokenFile) }])
    expect(container.volumeMounts).toContainEqual({ name: 'run', mountPath: dirname(tokenFile) })
    const made = join(folder, 'made-token')
    // Twice, as when the pod's sandbox is made anew.
    for (let time = 0; time < 2; time++) {
      execFileSync(process.execPath, ['-e', script.replaceAll(tokenFile, made)])
      expect(await readToken(made)).toMatchObject({ ok: true })
    }
  })

  test('nothing of the image is written, and the data directory is', async () => {
    expect(container.securityContext).toEqual({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    })
    const used = await config()
    const writable = container.volumeMounts.filter(({ readOnly }) => readOnly !== true)
    expect(writable.map(({ mountPath }) => mountPath)).toContain(used.start.dataDir)
  })
})

describe('docs/migrating.md', () => {
  const [, ...sections] = read('docs/migrating.md').split('\n## ')
  const configurations = sections.map((section) => ({
    from: section.split('\n')[0] ?? '',
    text: /^```toml\n([^]*?)^```$/m.exec(section)?.[1] ?? '',
  }))

  test.each(configurations.filter(({ text }) => text !== ''))(
    '$from: its configuration can be used',
    async ({ text }) => {
      expect((await checked(text)).live.routes.length).toBeGreaterThan(0)
    },
  )

  test('there is one for each program that is configured', () => {
    expect(configurations.filter(({ text }) => text === '').map(({ from }) => from)).toEqual(['From smtp-server'])
  })
})

describe('examples/systemd', () => {
  const analyse = '/usr/bin/systemd-analyze'

  test('OP-09: no signal opens a debugger in the supervisor, and no process leaves a core', () => {
    const unit = readFileSync(join(root, 'examples/systemd/postern.service'), 'utf8')
    expect(unit).toMatch(/^ExecStart=\S+ .*--disable-sigusr1 /m)
    expect(unit).toMatch(/^LimitCORE=0$/m)
    expect(readFileSync(join(root, 'Dockerfile'), 'utf8')).toMatch(/^ENTRYPOINT \[.*"--disable-sigusr1", /m)
  })

  // 0 is a service that may do nothing, 10 one with every right of root.
  test.runIf(existsSync(analyse))('HD-02: the exposure of the unit stays below 2.2', () => {
    const unit = join(root, 'examples/systemd/postern.service')
    const run = (): string =>
      execFileSync(analyse, ['security', '--offline=yes', '--threshold=22', '--no-pager', unit], {
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'pipe'],
      })
    expect(run()).toMatch(/Overall exposure level/)
  })
})

import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { parseAllDocuments } from 'yaml'
import { temporaryDirectory } from '../config/temporary-directory.ts'
import { postern } from './run.ts'

/** Certificates and accounts are on the gateway's machine; this one writes for the balancer. */
const listeners = `
[proxy]
trusted-networks = ["10.0.0.10", "2001:db8::10"]
[listener.mx]
protocol = "smtp"
bind = ["10.0.0.11:2525", "[2001:db8::11]:2525"]
[listener.imaps]
protocol = "imap"
bind = "10.0.0.11:2993"
tls = "implicit"
[listener.monitor]
protocol = "smtp"
bind = "127.0.0.1:2526"
tls = "off"
proxy.mode = "off"
[tls]
certificates = [{ cert = "/nowhere/mx.pem", key = "/nowhere/mx.key" }]
[accounts]
file = "/nowhere/accounts.toml"
`

async function balancer(args: readonly string[], text = listeners) {
  const cwd = await temporaryDirectory()
  await writeFile(join(cwd, 'postern.toml'), text)
  return postern(['balancer', ...args, '-c', 'postern.toml'], { cwd })
}

async function documents(kind: string): Promise<readonly unknown[]> {
  const { status, stdout } = await balancer([kind])
  expect(status).toBe(0)
  return parseAllDocuments(stdout, { customTags: ['!Ref', '!GetAtt'].map((tag) => ({ tag, resolve: String })) }).map(
    (document) => {
      expect(document.errors).toEqual([])
      return document.toJS() as unknown
    },
  )
}

// The first of them loads the libraries of the command line, which a busy machine takes its time for.
describe('X6: postern balancer', () => {
  test('haproxy: every address of a listener, with the check that its greeting allows', async () => {
    const { stdout, status } = await balancer(['haproxy', '--listen', '[::]'])
    expect(status).toBe(0)
    expect(stdout).toContain(
      `frontend mx
  bind [::]:25 v6only
  default_backend postern-mx

backend postern-mx
  option smtpchk EHLO localhost
  server gateway1 10.0.0.11:2525 send-proxy-v2 check check-send-proxy
  server gateway2 [2001:db8::11]:2525 send-proxy-v2 check check-send-proxy
`,
    )
    expect(stdout).toMatch(/server gateway1 10\.0\.0\.11:2993 .* check-ssl verify none\n/)
    expect(stdout).not.toContain('2526')
  })

  test('haproxy: where clients need a certificate, the check makes no handshake', async () => {
    const { stdout } = await balancer(
      ['haproxy', '--listener', 'imaps'],
      listeners.replace('[tls]', '[tls]\nclient-certificates = "require"\nclient-ca = "/nowhere/ca.pem"'),
    )
    expect(stdout).not.toMatch(/check-ssl|tcp-check/)
    expect(stdout).toMatch(/check check-send-proxy\n/)
  })

  test('envoy: header, first bytes of the greeting, and a fresh connection for each check', async () => {
    const [bootstrap] = await documents('envoy')
    expect(bootstrap).toMatchObject({
      static_resources: {
        listeners: [
          { name: 'mx', address: { socket_address: { address: '0.0.0.0', port_value: 25 } } },
          { name: 'imaps', address: { socket_address: { address: '0.0.0.0', port_value: 993 } } },
        ],
        clusters: [
          {
            name: 'postern-mx',
            health_checks: [{ reuse_connection: false, tcp_health_check: { receive: [{ text: '323230' }] } }],
            load_assignment: {
              endpoints: [
                {
                  lb_endpoints: [
                    { endpoint: { address: { socket_address: { address: '10.0.0.11', port_value: 2525 } } } },
                    { endpoint: { address: { socket_address: { address: '2001:db8::11', port_value: 2525 } } } },
                  ],
                },
              ],
            },
            transport_socket: { typed_config: { config: { version: 'V2' } } },
          },
          { name: 'postern-imaps', health_checks: [{ tcp_health_check: {} }] },
        ],
      },
    })
  })

  test('traefik: an entry point of its own for each, so that nobody waits for the client', async () => {
    const [fixed, dynamic] = await documents('traefik')
    expect(fixed).toMatchObject({ entryPoints: { mx: { address: '0.0.0.0:25' }, imaps: { address: '0.0.0.0:993' } } })
    expect(dynamic).toMatchObject({
      tcp: {
        routers: { mx: { entryPoints: ['mx'], rule: 'HostSNI(`*`)', service: 'postern-mx' } },
        services: {
          'postern-mx': {
            loadBalancer: {
              proxyProtocol: { version: 2 },
              servers: [{ address: '10.0.0.11:2525' }, { address: '[2001:db8::11]:2525' }],
            },
          },
        },
      },
    })
  })

  test('a listener may have a name that YAML would take for a truth value, or that looks like a second place', async () => {
    const named = listeners
      .replace('[listener.mx]', '[listener.true]')
      .replaceAll('[listener.imaps]', '[listener.true-2]')
    const fronts = ['--listen', '192.0.2.1', '--listen', '192.0.2.2']
    const traefik = await balancer(['traefik', ...fronts], named)
    const [fixed, dynamic] = parseAllDocuments(traefik.stdout).map((document) => document.toJS() as unknown)
    expect(Object.keys((fixed as { readonly entryPoints: object }).entryPoints)).toEqual([
      'true',
      'true_2',
      'true-2',
      'true-2_2',
    ])
    expect(dynamic).toMatchObject({ tcp: { routers: { true: { entryPoints: ['true', 'true_2'] } } } })
    const envoy = await balancer(['envoy', ...fronts], named)
    expect(envoy.stdout).toContain('- name: "true"\n')
    expect(envoy.stdout).toContain('stat_prefix: "true"\n')
  })

  test('caddy: routes without a matcher; what JSON cannot say is on standard error', async () => {
    const { stdout, stderr } = await balancer(['caddy', '--listen', '0.0.0.0', '--listen', '[::]'])
    expect(JSON.parse(stdout)).toMatchObject({
      apps: {
        layer4: {
          servers: {
            // Go takes IPv6 on the first of the two as well, and would find the second in use.
            mx: { listen: ['0.0.0.0:25'], routes: [{ handle: [{ handler: 'proxy', proxy_protocol: 'v2' }] }] },
          },
        },
      },
    })
    expect(stderr).toMatch(/layer4/)
    expect(stderr).toMatch(/takes headers from 10\.0\.0\.10/)
  })

  test('aws-nlb: the attributes without which no mail flows', async () => {
    const [template] = await documents('aws-nlb')
    expect(template).toMatchObject({
      Resources: {
        Mx1Targets: {
          Properties: {
            Port: 2525,
            HealthCheckProtocol: 'TCP',
            // A target group has one family of addresses.
            IpAddressType: 'ipv4',
            Targets: [{ Id: '10.0.0.11', Port: 2525 }],
            TargetGroupAttributes: expect.arrayContaining([
              { Key: 'proxy_protocol_v2.enabled', Value: 'true' },
              { Key: 'proxy_protocol_v2.client_to_server.header_placement', Value: 'on_first_ack' },
              { Key: 'preserve_client_ip.enabled', Value: 'false' },
            ]),
          },
        },
        Mx1Listener: { Properties: { Port: 25 } },
        Imaps2Listener: { Properties: { Port: 993 } },
      },
    })
  })

  test('problems of the listeners are told, and no file is written', async () => {
    const { status, stdout, stderr } = await balancer(['nginx'], listeners.replace('"smtp"', '"smpt"'))
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' })
    expect(stderr).toMatch(/^postern\.toml:5: listener\.mx\.protocol: expected /)
  })

  test('a broken file is told; one of another balancer is a wrong use', async () => {
    expect(await balancer(['nginx'], '[listener')).toMatchObject({ status: 1, stdout: '' })
    expect(await balancer(['pound'])).toMatchObject({ status: 64, stdout: '' })
    expect(await balancer(['nginx', '--gateway', '10.0.0.1:25'])).toMatchObject({ status: 64, stdout: '' })
  })
})

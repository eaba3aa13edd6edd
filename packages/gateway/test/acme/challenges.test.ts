import { once } from 'node:events'
import { connect, createServer, type AddressInfo } from 'node:net'
import { expect, test } from 'vitest'
import { Challenges, openChallengeServer } from '../../src/acme/challenges.ts'

const path = '/.well-known/acme-challenge/token_1'

async function opened() {
  const challenges = new Challenges()
  const hide = challenges.show('token_1', 'token_1.thumbprint')
  const server = await openChallengeServer({ host: '127.0.0.1', port: 0 }, challenges, false)
  return { server, hide, url: `http://127.0.0.1:${server.port}` }
}

test('a text is shown at its path alone, to whoever asks by whatever name, as long as the order lasts', async () => {
  const { server, hide, url } = await opened()
  const shown = await fetch(`${url}${path}`, { headers: { host: 'mx.example.org' } })
  expect([shown.status, await shown.text()]).toEqual([200, 'token_1.thumbprint'])
  expect(shown.headers.get('content-type')).toBe('application/octet-stream')
  expect((await fetch(`${url}${path}?x=y`)).status).toBe(200)
  for (const other of [
    '/',
    '/metrics',
    '/.well-known/acme-challenge/',
    `${path}/`,
    '/.well-known/acme-challenge/__proto__',
  ]) {
    expect((await fetch(`${url}${other}`)).status).toBe(404)
  }
  expect((await fetch(`${url}${path}`, { method: 'POST', body: 'x' })).status).toBe(404)
  hide()
  expect((await fetch(`${url}${path}`)).status).toBe(404)
  server.close()
})

test.each([
  ['no HTTP', 'EHLO client.example\r\n', /^HTTP\/1\.1 400/],
  ['a path that is no URL', 'GET http://[ HTTP/1.1\r\nHost: a\r\n\r\n', /^HTTP\/1\.1 404/],
  ['another method', `TRACE ${path} HTTP/1.1\r\nHost: a\r\n\r\n`, /^HTTP\/1\.1 404/],
])('%s is answered, and ends there', async (_, said, answer) => {
  const { server } = await opened()
  const client = connect(server.port, '127.0.0.1')
  let heard = ''
  client.on('data', (chunk: Buffer) => (heard += chunk.toString()))
  client.write(said)
  await once(client, 'end')
  expect(heard).toMatch(answer)
  client.destroy()
  server.close()
})

test('an address that another program has is an error that says so', async () => {
  const other = createServer()
  other.listen(0, '127.0.0.1')
  await once(other, 'listening')
  const { port } = other.address() as AddressInfo
  const opening = openChallengeServer({ host: '127.0.0.1', port }, new Challenges(), false)
  await expect(opening).rejects.toMatchObject({ code: 'EADDRINUSE' })
  other.close()
})

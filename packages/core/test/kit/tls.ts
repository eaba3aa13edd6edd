import { readFileSync } from 'node:fs'

/** A self-signed certificate for localhost, made for these tests and good for nothing else. */
export const tlsFiles = {
  cert: readFileSync(new URL('../fixtures/cert.pem', import.meta.url)),
  key: readFileSync(new URL('../fixtures/key.pem', import.meta.url)),
}

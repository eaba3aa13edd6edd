import { join } from 'node:path'
import { demoAccount, demoPasswordFile } from './first-start.ts'

/** What to type into another terminal, when the embedded defaults run. The client's address is one for examples (RFC 5737). */
export function tryItText(dataDir: string): string {
  const password = `"$(cat ${shellWord(join(dataDir, demoPasswordFile))})"`
  return `
Postern runs on this machine only. To try it from another terminal:

  a greeting, as behind a balancer that announces the client 203.0.113.7
    printf 'PROXY TCP4 203.0.113.7 127.0.0.1 45678 25\\r\\n' | nc 127.0.0.1 2526

  a message, with a binary PROXY header
    swaks --server 127.0.0.1:2526 --from ann@example.org --to ${demoAccount} --proxy-version 2 \\
      --proxy-family AF_INET --proxy-protocol STREAM --proxy-command PROXY \\
      --proxy-source 203.0.113.7 --proxy-source-port 45678 --proxy-dest 127.0.0.1 --proxy-dest-port 25

  the mailbox, over IMAP and TLS
    curl --cacert ${shellWord(join(dataDir, 'certificate.pem'))} imaps://localhost:2993/INBOX --request 'STATUS INBOX (MESSAGES)' \\
      --user ${demoAccount}:${password}

  the last message, as a client behind the balancer
    curl --haproxy-protocol --ssl-reqd --cacert ${shellWord(join(dataDir, 'certificate.pem'))} \\
      'imap://localhost:2144/INBOX;MAILINDEX=*' --user ${demoAccount}:${password}

The password of ${demoAccount} is in ${join(dataDir, demoPasswordFile)}. The dashboard: http://127.0.0.1:2080/

`
}

function shellWord(text: string): string {
  return /^[\w./-]+$/.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`
}

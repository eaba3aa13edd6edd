// Other programs with the embedded store: on its files, and over IMAP.
import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { ImapFlow } from 'imapflow'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { makeCertificate } from '../kit/certificates.ts'
import { listener } from '../kit/configuration.ts'
import { temporaryFolder } from '../kit/folder.ts'
import { ann, startGateway, type Gateway } from '../kit/gateway.ts'
import { openImap } from '../kit/mailbox.ts'
import { eventually } from '../kit/patience.ts'
import { peer } from '../kit/peers.ts'
import { freePorts } from '../kit/ports.ts'

const ports = await freePorts('admin', 'imap', 'imaps')
let gateway: Gateway
let certificate = ''

beforeAll(async () => {
  const { cert, key } = await makeCertificate('localhost')
  certificate = cert
  gateway = await startGateway({
    config: [
      listener('imap', { protocol: 'imap', bind: ports.imap, tls: 'starttls', mode: 'off' }),
      listener('imaps', { protocol: 'imap', bind: ports.imaps, tls: 'implicit', mode: 'off' }),
      `[tls]\ncertificates = [{ cert = "${cert}", key = "${key}" }]`,
    ].join('\n\n'),
    adminPort: ports.admin,
  })
})
afterAll(async () => {
  await gateway?.stop()
})

const maildir = (): string => join(gateway.folder, 'data', 'mail', ann.name, 'Maildir')

/** A mailbox of its own for each test, with messages of these subjects. */
async function filled(mailbox: string, subjects: readonly string[], flags: readonly string[] = []): Promise<void> {
  const client = await openImap(ports.imap)
  await client.mailboxCreate(mailbox)
  for (const subject of subjects) {
    await client.append(mailbox, `Subject: ${subject}\r\nFrom: ann@example.org\r\n\r\nbody of ${subject}\r\n`, [
      ...flags,
    ])
  }
  await client.logout()
}

/** A mailbox of two messages was fetched: flags, arrivals and removals on one side are on the other behind the next time. */
async function expectBothWays(
  mailbox: string,
  local: string,
  sync: () => Promise<unknown>,
  arrival: { readonly name: string; readonly end: string },
): Promise<void> {
  const files = (): readonly string[] =>
    ['cur', 'new'].flatMap((name) => readdirSync(join(local, name)).map((file) => join(local, name, file)))
  expect(files()).toHaveLength(2)
  const first = files().find((file) => readFileSync(file, 'utf8').includes('body of one')) ?? ''
  const [base = ''] = (first.split('/').at(-1) ?? '').split(':')
  renameSync(first, join(local, 'cur', `${base}:2,FS`))
  writeFileSync(join(local, 'new', arrival.name), ['Subject: three', '', 'body of three', ''].join(arrival.end))
  await sync()
  const client = await openImap(ports.imap)
  await client.mailboxOpen(mailbox)
  const all = await client.fetchAll('1:*', { flags: true, envelope: true })
  expect(all.map(({ envelope, flags }) => `${envelope?.subject} ${[...(flags ?? [])].includes('\\Flagged')}`)).toEqual([
    'one true',
    'two false',
    'three false',
  ])
  await client.messageDelete('2')
  await client.logout()
  await sync()
  expect(files()).toHaveLength(2)
}

test('doveadm reads the Maildir: messages, flags, keywords and folders', async () => {
  await filled('Dove', ['one', 'two'], ['\\Seen', '$Label1'])
  const folder = temporaryFolder('doveadm')
  // A copy for a user of its own, since Dovecot opens no mail as root: what a backup is.
  cpSync(maildir(), join(folder, 'Maildir'), { recursive: true, verbatimSymlinks: true })
  const owner = process.getuid?.() === 0 ? 'nobody' : execFileSync('id', ['-un'], { encoding: 'utf8' }).trim()
  const id = (flag: string): string => execFileSync('id', [flag, owner], { encoding: 'utf8' }).trim()
  chmodSync(folder, 0o755)
  execFileSync('chown', ['-R', `${id('-u')}:${id('-g')}`, folder])
  const config = join(folder, 'dovecot.conf')
  writeFileSync(
    config,
    `base_dir = ${folder}
log_path = ${join(folder, 'log')}
first_valid_uid = 1
mail_uid = ${id('-u')}
mail_gid = ${id('-g')}
mail_location = maildir:${folder}/Maildir
`,
  )
  const doveadm = (...args: readonly string[]) =>
    peer('doveadm', ['-c', config, ...args], { env: { USER: owner, HOME: folder } })
  const listed = await doveadm('mailbox', 'list')
  expect(listed.stdout.split('\n')).toContain('Dove')
  const fetched = await doveadm('-f', 'flow', 'fetch', 'hdr.subject flags size.physical', 'mailbox', 'Dove', 'all')
  expect(fetched).toMatchObject({ code: 0 })
  const lines = fetched.stdout.trim().split('\n')
  expect(lines).toHaveLength(2)
  for (const [at, subject] of ['one', 'two'].entries()) {
    expect(lines[at]).toContain(`hdr.subject=${subject}`)
    expect(lines[at]).toContain('\\Seen')
    expect(lines[at]).toContain('$Label1')
  }
})

test('ST-14: another program moves new to cur, changes flags and removes: all is seen, UIDs kept', async () => {
  await filled('Foreign', ['one', 'two', 'three'])
  const client = await openImap(ports.imap)
  await client.mailboxOpen('Foreign')
  const before = await client.fetchAll('1:*', { uid: true, flags: true })
  const cur = join(maildir(), '.Foreign', 'cur')
  // In the order of arrival: microseconds are not padded in a name.
  const [one = '', two = ''] = readdirSync(cur).toSorted((a, b) => a.localeCompare(b, 'en', { numeric: true }))
  renameSync(join(cur, one), join(cur, `${one.split(':')[0]}:2,FS`))
  renameSync(join(cur, two), join(maildir(), '.Foreign', 'tmp', 'taken'))
  copyFileSync(join(maildir(), '.Foreign', 'tmp', 'taken'), join(maildir(), '.Foreign', 'new', '1700000000.M1.foreign'))
  const after = await eventually('the changes', async () => {
    await client.noop()
    const now = await client.fetchAll('1:*', { uid: true, flags: true })
    return now.length === 3 && now[2]?.uid === 4 && now[0]?.flags?.has('\\Flagged') === true ? now : undefined
  })
  expect(after.map(({ uid }) => uid)).toEqual([before[0]?.uid, before[2]?.uid, 4])
  await client.logout()
})

test('imapflow resynchronizes by QRESYNC: it is told what was expunged and changed while it was away', async () => {
  await filled('Away', ['one', 'two', 'three'])
  const client = new ImapFlow({
    host: '127.0.0.1',
    port: ports.imap,
    secure: false,
    auth: { user: ann.name, pass: ann.password },
    tls: { rejectUnauthorized: false },
    logger: false,
    qresync: true,
  })
  await client.connect()
  expect(client.enabled.has('QRESYNC')).toBe(true)
  const opened = await client.mailboxOpen('Away')
  const { uidValidity, highestModseq } = opened
  expect(highestModseq).toBeGreaterThan(0n)
  expect(opened.mailboxId).toMatch(/^F\d+$/)
  await client.mailboxClose()

  const other = await openImap(ports.imap)
  await other.mailboxOpen('Away')
  await other.messageFlagsAdd('1', ['\\Flagged'])
  await other.messageDelete('2')
  await other.logout()

  const vanished: number[] = []
  const changed: number[] = []
  client.on('expunge', (event: { uid?: number }) => vanished.push(event.uid ?? 0))
  client.on('flags', (event: { uid?: number }) => changed.push(event.uid ?? 0))
  await client.mailboxOpen('Away', { changedSince: highestModseq, uidValidity } as never)
  expect(vanished).toEqual([2])
  expect(changed).toEqual([1])
  const since = await client.fetchAll('1:*', { uid: true, emailId: true } as never, {
    changedSince: highestModseq ?? 0n,
  })
  expect(since.map(({ uid }) => uid)).toEqual([1])
  expect(since[0]?.emailId).toMatch(/^M/)
  await client.logout()
})

test('Python imaplib appends, searches, stores, copies and expunges', async () => {
  const script = `
import imaplib, ssl
context = ssl._create_unverified_context()
m = imaplib.IMAP4_SSL('127.0.0.1', ${ports.imaps}, ssl_context=context)
m.login('${ann.name}', '${ann.password}')
assert m.create('Py')[0] == 'OK'
for n in range(5):
    assert m.append('Py', '(\\\\Seen)' if n % 2 else '', None, ('Subject: py %d\\r\\n\\r\\nbody\\r\\n' % n).encode())[0] == 'OK'
assert m.select('Py')[1] == [b'5']
assert m.uid('SEARCH', 'UNSEEN')[1] == [b'1 3 5'], m.uid('SEARCH', 'UNSEEN')
assert m.uid('STORE', '1,2', '+FLAGS', '(\\\\Deleted kw)')[0] == 'OK'
assert m.uid('COPY', '3', 'INBOX')[0] == 'OK'
assert m.expunge()[1] == [b'1', b'1']
typ, data = m.uid('FETCH', '3', '(BODY.PEEK[HEADER.FIELDS (SUBJECT)] FLAGS)')
assert b'Subject: py 2' in data[0][1]
assert m.sort('(REVERSE ARRIVAL)', 'UTF-8', 'ALL')[1] == [b'3 2 1']
assert m.getquotaroot('Py')[0] == 'OK'
m.close(); m.logout(); print('done')
`
  const ran = await peer('python3', ['-c', script])
  expect(ran).toMatchObject({ code: 0, stdout: 'done\n' })
})

test('mbsync mirrors a mailbox both ways', async () => {
  await filled('Sync', ['one', 'two'])
  const folder = temporaryFolder('mbsync')
  mkdirSync(join(folder, 'local'))
  const config = join(folder, 'mbsyncrc')
  writeFileSync(
    config,
    `IMAPAccount postern
Host localhost
Port ${ports.imaps}
User ${ann.name}
Pass "${ann.password}"
SSLType IMAPS
SystemCertificates no
CertificateFile ${certificate}

IMAPStore remote
Account postern

MaildirStore local
Path ${folder}/local/
Inbox ${folder}/local/INBOX
SubFolders Verbatim

Channel sync
Far :remote:
Near :local:
Patterns Sync
Create Both
Expunge Both
SyncState *
`,
    { mode: 0o600 },
  )
  const sync = async () => {
    const ran = await peer('mbsync', ['-c', config, 'sync'])
    expect(ran).toMatchObject({ code: 0 })
  }
  await sync()
  const local = join(folder, 'local', 'Sync')
  await expectBothWays('Sync', local, sync, { name: '1700000000.1.here', end: '\r\n' })
})

test('fetchmail takes what is there, and leaves it', async () => {
  await filled('Fetched', ['one', 'two'])
  const folder = temporaryFolder('fetchmail')
  const config = join(folder, 'fetchmailrc')
  const taken = join(folder, 'taken')
  writeFileSync(
    config,
    `poll 127.0.0.1 service ${ports.imaps} protocol IMAP auth password
  user "${ann.name}" password "${ann.password}" folder Fetched ssl no sslcertck keep fetchall
  mda "cat >> ${taken}"
`,
    { mode: 0o600 },
  )
  const env = { HOME: folder, FETCHMAILHOME: folder }
  const ran = await peer('fetchmail', ['-f', config, '--nosyslog', '--pidfile', join(folder, 'pid')], { env })
  expect(ran).toMatchObject({ code: 0 })
  expect(existsSync(taken)).toBe(true)
  expect(readFileSync(taken, 'utf8').match(/^Subject: (?:one|two)\r?$/gm)).toHaveLength(2)
})

test('offlineimap mirrors a mailbox both ways', async () => {
  await filled('Off', ['one', 'two'])
  const folder = temporaryFolder('offlineimap')
  const config = join(folder, 'offlineimaprc')
  const local = join(folder, 'local')
  writeFileSync(
    config,
    `[general]
accounts = postern
metadata = ${join(folder, 'metadata')}
ui = basic

[Account postern]
localrepository = local
remoterepository = remote

[Repository local]
type = Maildir
localfolders = ${local}

[Repository remote]
type = IMAP
remotehost = localhost
remoteport = ${ports.imaps}
remoteuser = ${ann.name}
remotepass = ${ann.password}
sslcacertfile = ${certificate}
folderfilter = lambda name: name == 'Off'
expunge = yes
`,
    { mode: 0o600 },
  )
  const sync = async () => {
    const ran = await peer('offlineimap', ['-c', config, '-o'], { env: { HOME: folder } })
    expect(ran).toMatchObject({ code: 0 })
    expect(`${ran.stdout}${ran.stderr}`).not.toMatch(/ERROR|Traceback/)
  }
  await sync()
  await expectBothWays('Off', join(local, 'Off'), sync, { name: '1700000000_0.1.here', end: '\n' })
})

test('neomutt opens a mailbox, flags, copies and deletes', async () => {
  await filled('Mutt', ['one', 'two', 'three'])
  await filled('MuttCopies', [])
  const folder = temporaryFolder('neomutt')
  const config = join(folder, 'neomuttrc')
  // What a user would press, in this order; a question that is left open would wait for ever.
  const keys = [
    '<first-entry><flag-message>',
    '<first-entry><next-entry><copy-message>=MuttCopies<enter>',
    '<last-entry><delete-message>',
    '<sync-mailbox><exit>',
  ]
  writeFileSync(
    config,
    `set folder = "imaps://localhost:${ports.imaps}/"
set spoolfile = "+Mutt"
set imap_user = "${ann.name}"
set imap_pass = "${ann.password}"
set ssl_ca_certificates_file = "${certificate}"
set ssl_verify_host = no
set ssl_starttls = no
set delete = yes
set confirmappend = no
set confirmcreate = no
set move = no
set quit = yes
set wait_key = no
set sort = mailbox-order
push "${keys.join('')}"
`,
    { mode: 0o600 },
  )
  // It wants a terminal, which script(1) is.
  const command = `neomutt -n -F ${config}`
  const ran = await peer('script', ['-qec', command, '/dev/null'], { env: { HOME: folder, TERM: 'xterm' } })
  expect(ran).toMatchObject({ code: 0 })
  const client = await openImap(ports.imap)
  await client.mailboxOpen('Mutt')
  const left = await client.fetchAll('1:*', { flags: true, envelope: true })
  expect(left.map(({ envelope, flags }) => `${envelope?.subject} ${[...(flags ?? [])].includes('\\Flagged')}`)).toEqual(
    ['one true', 'two false'],
  )
  await client.mailboxOpen('MuttCopies')
  const [copy, ...more] = await client.fetchAll('1:*', { envelope: true })
  expect(copy?.envelope?.subject).toBe('two')
  expect(more).toEqual([])
  await client.logout()
})

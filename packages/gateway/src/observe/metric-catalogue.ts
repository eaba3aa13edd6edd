/*
 * Every metric of the gateway: its name, what it counts, and its labels. `docs/metrics.md` and the dashboard and alert
 * rules under `examples/` are checked against this list.
 *
 * Labels have few values: names of the configuration and words of closed lists. What a client can choose is never one.
 */

export interface Metric {
  readonly type: 'counter' | 'gauge' | 'histogram'
  readonly help: string
  /** With blanks between; empty for none. */
  readonly labels: string
  /** Of a histogram. */
  readonly buckets?: keyof typeof buckets
}

/** Upper bounds of the buckets of histograms, in seconds; the one above all is understood. */
export const buckets = {
  /** From a header that came with its connection (a round trip inside a data centre) to one that never came. */
  wait: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1, 5, 30],
  /** From a header of 28 bytes to one of many TLVs in a worker that is interrupted. */
  parse: [0.000_001, 0.000_002, 0.000_005, 0.000_01, 0.000_05, 0.000_25, 0.001],
  /** From a page that is in memory to a disk that hangs, and from a neighbour to a backend that does. */
  work: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10],
} as const

export const metrics = {
  // ── connections ───────────────────────────────────────────────────────────
  postern_connections_accepted_total: {
    type: 'counter',
    help: 'Connections that the system handed over.',
    labels: 'listener',
  },
  postern_connections_total: {
    type: 'counter',
    help: 'Connections that have ended, by how: a reason of `connection.close`, or `proxy-refused`, `silent-peer`, `overloaded`, `health-check`, `ignored`.',
    labels: 'listener outcome',
  },
  postern_connections_open: { type: 'gauge', help: 'Connections that are open now.', labels: 'listener' },
  postern_received_bytes_total: {
    type: 'counter',
    help: 'Bytes from clients, inside TLS; counted when their connection ends.',
    labels: 'listener',
  },
  postern_sent_bytes_total: {
    type: 'counter',
    help: 'Bytes to clients, inside TLS; counted when their connection ends.',
    labels: 'listener',
  },

  // ── PROXY headers ─────────────────────────────────────────────────────────
  postern_proxy_headers_total: {
    type: 'counter',
    help: 'PROXY headers that were taken, by version and command (`proxy`: for a client; `local`: the balancer for itself).',
    labels: 'listener version command',
  },
  postern_proxy_refused_total: {
    type: 'counter',
    help: 'Connections refused over their PROXY header or the lack of one: a reason of `proxy.refused`, with its code when the header was malformed.',
    labels: 'listener reason code',
  },
  postern_proxy_header_wait_seconds: {
    type: 'histogram',
    help: 'From the accept to the last byte of a PROXY header that was taken, its parsing included.',
    labels: 'listener',
    buckets: 'wait',
  },
  postern_proxy_header_parse_seconds: {
    type: 'histogram',
    help: 'How long PROXY headers that were read took to parse, all their pieces together.',
    labels: 'listener',
    buckets: 'parse',
  },
  postern_untrusted_senders: {
    type: 'gauge',
    help: 'Addresses that sent a PROXY header, or came to a listener for balancers alone, and are in no trusted network; `/status` names them.',
    labels: '',
  },
  postern_silent_peers: {
    type: 'gauge',
    help: 'Trusted peers that sent no PROXY header until its time was up; `/status` names them.',
    labels: '',
  },

  // ── policy, TLS, sessions ─────────────────────────────────────────────────
  postern_policy_refusals_total: {
    type: 'counter',
    help: 'Refusals by policies and rules: where in the dialogue (`connect`, or the command), and a reason of `policy.refused`.',
    labels: 'listener stage reason',
  },
  postern_tls_sessions_total: {
    type: 'counter',
    help: 'Connections with TLS, by its version and by who ends it: `gateway`, or `proxy` as a trusted balancer says.',
    labels: 'listener version ended_by',
  },
  postern_tls_handshakes_failed_total: {
    type: 'counter',
    help: 'TLS handshakes that did not come to an end.',
    labels: 'listener',
  },
  postern_authentications_total: {
    type: 'counter',
    help: 'Sign-ins, by SASL mechanism (`LOGIN` is also that of IMAP) and outcome.',
    labels: 'listener mechanism outcome',
  },
  postern_commands_total: { type: 'counter', help: 'Commands that were answered.', labels: 'listener' },
  postern_transactions_total: {
    type: 'counter',
    help: 'SMTP transactions, by the class of the reply to the end of their data.',
    labels: 'listener class',
  },
  postern_message_bytes_total: {
    type: 'counter',
    help: 'Bytes of messages whose transaction ended with 2yz.',
    labels: 'listener',
  },

  // ── messages and names, looked at ─────────────────────────────────────────
  postern_dns_list_lookups_total: {
    type: 'counter',
    help: 'What DNS lists (`policy.dns-list`) said of clients: `listed`, `not-listed` or `unknown`, from the `dns` or the `cache`; or the list was `paused`, and not asked.',
    labels: 'list outcome source',
  },
  postern_message_authentications_total: {
    type: 'counter',
    help: 'Messages whose sender was looked at (`[authentication]`): `known`, or `unknown` for want of time, room or a thread.',
    labels: 'outcome',
  },
  postern_message_authentication_results_total: {
    type: 'counter',
    help: 'What came of it, by `spf`, `dkim`, `dmarc` and `arc`, in the words of RFC 8601.',
    labels: 'method result',
  },
  postern_message_authentication_seconds: {
    type: 'histogram',
    help: 'How long that took, the wait for a thread included.',
    labels: '',
    buckets: 'work',
  },
  postern_messages_waiting: {
    type: 'gauge',
    help: 'Messages that wait for a thread that looks at their sender.',
    labels: 'worker',
  },

  // ── what is behind ────────────────────────────────────────────────────────
  postern_store_operations_total: {
    type: 'counter',
    help: 'What the embedded store was asked to do, by outcome: `ok`, a refusal of the store, or `failed` for broken I/O.',
    labels: 'operation outcome',
  },
  postern_store_operation_seconds: {
    type: 'histogram',
    help: 'How long that took. `commit` is the moment at which a message is on the disk.',
    labels: 'operation',
    buckets: 'work',
  },
  postern_upstream_up: {
    type: 'gauge',
    help: '1 while a backend is up by the supervisor’s looks.',
    labels: 'upstream backend',
  },
  postern_upstream_look_seconds: {
    type: 'histogram',
    help: 'How long looks at backends took, good and bad ones.',
    labels: 'upstream backend',
    buckets: 'work',
  },
  postern_upstream_connections_total: {
    type: 'counter',
    help: 'Connections to backends that mail and logins asked for, by outcome: `opened`, `reused` for another message, or `failed`.',
    labels: 'upstream outcome',
  },
  postern_in_doubt_total: {
    type: 'counter',
    help: 'Messages whose backend may have them, while their client was told to send them again.',
    labels: 'upstream',
  },

  // ── processes ─────────────────────────────────────────────────────────────
  postern_drained_sessions_total: {
    type: 'counter',
    help: 'Sessions of workers that were told to end, for a stop or because a reload replaced them: `finished` in their own time, or `cut` when it was up.',
    labels: 'outcome',
  },
  postern_workers: {
    type: 'gauge',
    help: 'Worker processes by state: `starting`, `ready`, `draining`.',
    labels: 'state',
  },
  postern_workers_wanted: { type: 'gauge', help: 'Worker processes that should be ready.', labels: '' },
  postern_worker_deaths_total: {
    type: 'counter',
    help: 'Workers that died: `crashed`, or `hung` and killed.',
    labels: 'how',
  },
  postern_reloads_total: {
    type: 'counter',
    help: 'Reloads: `done`, `refused` for problems of the configuration, `failed` for a successor that did not start.',
    labels: 'outcome',
  },
  postern_certificate_end_seconds: {
    type: 'gauge',
    help: 'When a certificate in force ends, seconds since 1970; by its file.',
    labels: 'file',
  },
  postern_acme_orders_total: {
    type: 'counter',
    help: 'Orders for a certificate (`tls.acme`): `obtained` or `failed`.',
    labels: 'outcome',
  },
  postern_password_checks_waiting: {
    type: 'gauge',
    help: 'Password checks that wait for a thread.',
    labels: 'worker',
  },
  postern_event_loop_delay_seconds: {
    type: 'gauge',
    help: 'How late the event loop of a worker was in the last second, at its 99th percentile.',
    labels: 'worker',
  },
  postern_event_loop_utilization: {
    type: 'gauge',
    help: 'The share of the last second in which the event loop of a worker was busy.',
    labels: 'worker',
  },
  postern_process_cpu_seconds_total: {
    type: 'counter',
    help: 'CPU time of the supervisor and of all workers that ever were.',
    labels: 'process',
  },
  postern_process_resident_bytes: {
    type: 'gauge',
    help: 'Resident memory of a process: `supervisor`, or `worker` with the number of its slot.',
    labels: 'process',
  },
} as const

export type MetricName = keyof typeof metrics

/** The catalogue's word on one metric. */
export function metricOf(name: MetricName): Metric {
  return metrics[name]
}

export function labelsOf(name: MetricName): readonly string[] {
  return metrics[name].labels.split(' ').filter((label) => label !== '')
}

/** What the command line's exit statuses mean; the higher ones are those of BSD's sysexits.h. */
export const exitStatus = {
  ok: 0,
  /** What was asked about is wrong: an invalid header, a configuration with problems, a server that refuses. */
  wrong: 1,
  /** `inspect`: more bytes could make it valid. */
  incomplete: 2,
  /** The command line itself. */
  usage: 64,
  /** `probe`: nobody answered in time. */
  unreachable: 69,
  /** A bug, or a Node that cannot run this. */
  internal: 70,
  /** A file could not be read or written. */
  io: 74,
  /** `serve`: the configuration cannot be used, so starting again will not help. */
  config: 78,
} as const

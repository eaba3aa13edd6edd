/** Every bound of this package. */
export const limits = {
  /** Replies that may wait for a slow reader before a session must pause, beside what the socket itself holds. */
  maxPendingOutputBytes: 65_536,
  /** A client that reads nothing for this long while replies wait is cut off; less than 64 KiB a minute is no reader. */
  stalledReaderMs: 60_000,
  /** After the last reply: how long the client may take to close its half, so that our close does not reset the reply away. */
  lingerMs: 2_000,
} as const

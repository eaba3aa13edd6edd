import { percentile, spread, type Spread } from '../spread.ts'

/** What one row took in one round. */
export interface Sample {
  /** Of the server's CPU, for one connection. */
  readonly cpuUs: number
  /** From connect to the whole greeting, one for each connection, in microseconds. */
  readonly latenciesUs: readonly number[]
}

export interface ConnectionFigure {
  readonly cpuUs: Spread
  /** What the header added to the CPU of a connection, round by round against the row without one. */
  readonly headerUs: Spread
  /** Half of the rounds are between these two. */
  readonly headerQuartilesUs: readonly [number, number]
  /** The same as a part (0 to 1) of the CPU of a connection that brings the header. */
  readonly headerShare: Spread
  /** CPU against the bare server in the same round. */
  readonly timesBare: Spread
  /** The medians, over the rounds, of each round's percentile. */
  readonly p50Us: number
  readonly p99Us: number
}

/**
 * Sums up one row. Differences and ratios are taken inside each round, between rows that ran within seconds of each
 * other, and only then summed up: what the machine did meanwhile is in both sides and falls out.
 *
 * @param row - one sample of each round.
 * @param withoutHeader - the samples, in the same rounds, of the same server without a header.
 * @param bare - those of the bare server.
 */
export function sumUp(
  row: readonly Sample[],
  withoutHeader: readonly Sample[],
  bare: readonly Sample[],
): ConnectionFigure {
  const added = row.map(({ cpuUs }, round) => cpuUs - withoutHeader[round]!.cpuUs)
  return {
    cpuUs: spread(row.map(({ cpuUs }) => cpuUs)),
    headerUs: spread(added),
    headerQuartilesUs: [percentile(added, 0.25), percentile(added, 0.75)],
    headerShare: spread(added.map((us, round) => us / row[round]!.cpuUs)),
    timesBare: spread(row.map(({ cpuUs }, round) => cpuUs / bare[round]!.cpuUs)),
    p50Us: spread(row.map(({ latenciesUs }) => percentile(latenciesUs, 0.5))).median,
    p99Us: spread(row.map(({ latenciesUs }) => percentile(latenciesUs, 0.99))).median,
  }
}

/** Two samples of one row as one: CPU at the middle, latencies of both. */
export function meanOf(one: Sample, other: Sample): Sample {
  return { cpuUs: (one.cpuUs + other.cpuUs) / 2, latenciesUs: [...one.latenciesUs, ...other.latenciesUs] }
}

/** The order of a round: forwards, then backwards, so that a drift favours no row. */
export function inTurn<T>(rows: readonly T[], round: number): readonly T[] {
  return round % 2 === 0 ? rows : rows.toReversed()
}

let last = 0

/**
 * Resident bytes of this process. The system tells them in a file, and there may be no descriptor left to open one (EMFILE):
 * then it is what was told last, since nobody should end for want of a number.
 */
export function residentBytes(measure: () => number = () => process.memoryUsage.rss()): number {
  try {
    last = measure()
  } catch {
    // As it was.
  }
  return last
}

/** A line that says what is measured now, on a terminal; nowhere else. */
export function onStderr(): (text: string) => void {
  return (text) => {
    if (process.stderr.isTTY) process.stderr.write(`\r\u001b[K${text.slice(0, process.stderr.columns - 1)}`)
  }
}

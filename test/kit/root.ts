/** Programs that must be started as root are started through sudo, where the tests are run by somebody else. */
export const isRoot: boolean = process.getuid?.() === 0

export function asRoot(program: string, ...args: readonly string[]): [program: string, args: string[]] {
  return isRoot ? [program, [...args]] : ['sudo', ['-n', program, ...args]]
}

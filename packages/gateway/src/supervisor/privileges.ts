import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

/** Absent where a system has no users; the types of Node leave `initgroups` out. */
type Users = Pick<NodeJS.Process, 'getuid' | 'setuid' | 'setgid'> & {
  readonly initgroups?: (user: string, extraGroup: number) => void
}

/**
 * Goes on as another user, for good, with this user's groups and no others. Only root can, and only root needs to: whoever
 * is that user already stays so.
 *
 * @throws when the user is unknown, or we are somebody else.
 */
export async function dropPrivileges(user: string): Promise<void> {
  const { getuid, setuid, setgid, initgroups } = process as Users
  if (getuid === undefined || setuid === undefined || setgid === undefined || initgroups === undefined) {
    throw new Error('server.user: this system has no users to change to')
  }
  const [uid, gid] = await Promise.all(['-u', '-g'].map((what) => idOf(what, user)))
  if (uid === undefined || gid === undefined) throw new Error(`server.user: there is no user ${user}`)
  if (getuid() === uid) return
  if (getuid() !== 0) throw new Error(`server.user: only root can become ${user}`)
  initgroups(user, gid)
  setgid(gid)
  setuid(uid)
}

/** By the system's own command, which asks whatever directory of users the system has. */
async function idOf(what: string, user: string): Promise<number | undefined> {
  try {
    const { stdout } = await promisify(execFile)('id', [what, '--', user])
    return Number(stdout)
  } catch {
    return undefined
  }
}

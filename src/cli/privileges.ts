// Started as root: become somebody else before any listener is open. There is no way back.

import { ConfigError } from '../config/config-error.ts'

/** @types/node lacks it. */
type WithGroups = NodeJS.Process & { initgroups(user: string, extraGroup: string): void }

/** Throws ConfigError when there is no such user. Does nothing for a process that is not root. */
export function becomeUser(name: string): void {
  if (process.getuid?.() !== 0 || name === 'root') return
  try {
    // setgid takes a group name: the group of the same name is the convention of Debian and others.
    ;(process as WithGroups).initgroups(name, name)
    process.setgid?.(name)
    process.setuid?.(name)
  } catch (error) {
    const problem = `this user and its group cannot be used (${(error as Error).message})`
    throw new ConfigError({ key: 'user', value: name, problem })
  }
}

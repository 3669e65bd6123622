import { hostname, userInfo } from 'node:os';

/** The user of the operating system and the name of the host, such as `ada@gateway-1`. */
export function systemUser(): string {
  try {
    return `${userInfo().username}@${hostname()}`;
  } catch {
    // The system has no name for the user.
    return `${process.getuid?.() ?? '?'}@${hostname()}`;
  }
}

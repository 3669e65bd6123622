import {
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  lstatSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
} from 'node:fs';
import { dirname, isAbsolute, join, parse, sep } from 'node:path';
import { ConfigError } from '../config/index.ts';

const GROUP_OR_OTHERS = 0o077;
const GROUP_WRITE = 0o020;
const OTHERS_READ = 0o004;
const OTHERS_WRITE = 0o002;
const STICKY = 0o1000;

/** Windows has no such permissions. */
const userId = process.geteuid?.();

export interface PrivateFileOptions {
  /**
   * Whether a file system that has no permissions is accepted, such as a drive of Windows in WSL. For development: there, nothing can be
   * made private. False by default.
   */
  readonly mayLackPermissions?: boolean | undefined;
}

/**
 * Reads a file that nobody else may read or write, such as a key. A file of the user of this process is made private. In a file of another
 * user, its group may read, and others only if it is mounted into the container, as secrets of Kubernetes and Docker are.
 * The file is changed only after `read` has accepted its content, so a wrong path cannot change the permissions of anything else.
 *
 * @throws ConfigError naming the setting, with the command that corrects the permissions; also what `read` throws
 */
export function readPrivateFile<T>(path: string, setting: string, read: (text: string) => T, options: PrivateFileOptions = {}): T {
  const check = createCheck(setting, options);
  let descriptor: number;
  try {
    descriptor = openSync(path, 'r');
  } catch (error) {
    throw unreadable(setting, error);
  }
  // The descriptor stays with the file that was checked, whatever happens to its name meanwhile.
  try {
    const result = read(textOf(descriptor, setting));
    // A pipe, as in MASTER_KEY_FILE=<(command), has no name that others could open.
    if (userId !== undefined && fstatSync(descriptor).isFile()) {
      check.makePrivate(descriptor, path);
      check.refuseReplaceable(path);
    }
    return result;
  } finally {
    closeSync(descriptor);
  }
}

function textOf(descriptor: number, setting: string): string {
  try {
    return readFileSync(descriptor, 'utf8');
  } catch (error) {
    throw unreadable(setting, error);
  }
}

function unreadable(setting: string, error: unknown): ConfigError {
  return new ConfigError(`${setting} cannot be read: ${(error as NodeJS.ErrnoException).code}.`);
}

/**
 * Makes a directory of the gateway's own, and the files in it, private. `ownNames` are the names of those that are the gateway's. A directory
 * that also has other files keeps its permissions, unless others can write to it: it could be a home directory.
 *
 * @throws ConfigError naming the setting, with the command that corrects the permissions
 */
export function makeDirectoryPrivate(
  directory: string,
  setting: string,
  ownNames: readonly string[],
  options: PrivateFileOptions = {},
): void {
  if (userId === undefined) return;
  const check = createCheck(setting, options);
  const path = realpathSync(directory);
  const names = readdirSync(path);
  const isOwn = names.every((name) => ownNames.includes(name) || name === 'lost+found');
  check.opened(path, isOwn);
  for (const name of names.filter((each) => ownNames.includes(each))) {
    const entry = join(path, name);
    check.opened(entry);
    // What a symbolic link leads to is checked where it is read.
    if (lstatSync(entry).isDirectory()) for (const file of readdirSync(entry)) check.opened(join(entry, file));
  }
  check.refuseReplaceable(directory);
}

/** The checks of one path. */
function createCheck(setting: string, { mayLackPermissions = false }: PrivateFileOptions) {
  /** The devices of file systems on which permissions cannot be changed. */
  const withoutPermissions = new Set<number>();

  /** Makes a file or directory private, or refuses it. `mayChange`: whether it is the gateway's own. */
  function makePrivate(descriptor: number, path: string, mayChange = true): void {
    const before = fstatSync(descriptor);
    if ((before.mode & GROUP_OR_OTHERS) === 0) return;
    const isChanged = before.uid === userId && mayChange && (before.mode & STICKY) === 0;
    if (isChanged) {
      try {
        fchmodSync(descriptor, before.mode & 0o700);
        if ((fstatSync(descriptor).mode & GROUP_OR_OTHERS) === 0) return;
        if (mayLackPermissions) withoutPermissions.add(before.dev);
      } catch (error) {
        if (!['EROFS', 'EPERM'].includes((error as NodeJS.ErrnoException).code!)) throw error;
      }
    }
    if (withoutPermissions.has(before.dev)) return;
    const mount = mountOf(realpathSync(path), mounts());
    // Files in a directory of another user can be listed by others, but are private themselves.
    const forbidden = before.isDirectory() ? OTHERS_WRITE : mount ? GROUP_WRITE | OTHERS_WRITE : GROUP_WRITE | OTHERS_WRITE | OTHERS_READ;
    const found = before.mode & forbidden;
    if (found === 0 || mount === 'read-only' || (mount === 'volume' && before.isDirectory())) return;
    const what = `${setting}: others can ${found & OTHERS_READ ? 'read' : 'write to'} ${path}.`;
    if (before.mode & STICKY) throw new ConfigError(`${what} All users share it; choose another directory.`);
    if (isChanged) throw new ConfigError(`${what} Its permissions cannot be changed; choose another file system.`);
    throw new ConfigError(`${what} Run: chmod ${before.isDirectory() ? 'o-w' : 'g-w,o='} ${quoted(realpathSync(path))}.`);
  }

  return {
    makePrivate,

    /** The same for a path that is a file or directory, and no link or socket. */
    opened(path: string, mayChange = true): void {
      try {
        const stats = lstatSync(path);
        if (!stats.isFile() && !stats.isDirectory()) return;
        const descriptor = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
        try {
          makePrivate(descriptor, path, mayChange);
        } finally {
          closeSync(descriptor);
        }
      } catch (error) {
        if (error instanceof ConfigError) throw error;
        const { code } = error as NodeJS.ErrnoException;
        // A server that is running removed it meanwhile.
        if (code !== 'ENOENT') throw new ConfigError(`${setting}: ${path} cannot be read (${code}).`);
      }
    },

    /**
     * Refuses a path that others could make lead elsewhere: if they can write to a directory on the way, also of symbolic links. In a
     * directory with the sticky bit, such as /tmp, only the owner of an entry can replace it, so that must be this user or root.
     */
    refuseReplaceable(path: string): void {
      for (const { directory, entry } of steps(isAbsolute(path) ? path : `${process.cwd()}${sep}${path}`)) {
        const { mode, dev } = lstatSync(directory);
        if ((mode & OTHERS_WRITE) === 0 || withoutPermissions.has(dev)) continue;
        if (mode & STICKY) {
          const { uid } = lstatSync(join(directory, entry));
          if (uid === userId || uid === 0) continue;
        }
        if (mountOf(directory, mounts())) continue;
        throw new ConfigError(
          mode & STICKY
            ? `${setting}: ${join(directory, entry)} belongs to another user, in a directory that all users can write to. Choose another directory.`
            : `${setting}: others can write to ${directory}, and so replace what is in it. Run: chmod o-w ${quoted(directory)}, or choose another directory.`,
        );
      }
    },
  };
}

/** The directories that a path leads through, each with the entry that is looked up in it. Follows symbolic links, as the system does. */
function steps(path: string): { readonly directory: string; readonly entry: string }[] {
  const found: { directory: string; entry: string }[] = [];
  let directory = parse(path).root;
  const names = path.slice(directory.length).split(sep).filter(Boolean);
  // The system gives up after 40 links, too. The file was opened before.
  for (let links = 0; names.length > 0 && links <= 40; ) {
    const entry = names.shift()!;
    if (entry === '.') continue;
    if (entry === '..') {
      directory = dirname(directory);
      continue;
    }
    const next = join(directory, entry);
    found.push({ directory, entry });
    if (!lstatSync(next).isSymbolicLink()) {
      directory = next;
      continue;
    }
    links++;
    const target = readlinkSync(next);
    names.unshift(...target.split(sep).filter(Boolean));
    if (isAbsolute(target)) directory = parse(target).root;
  }
  return found;
}

/** The mounts of Linux (proc(5), mountinfo); empty where there is no such file. */
function mounts(): string {
  try {
    return readFileSync('/proc/self/mountinfo', 'utf8');
  } catch {
    return '';
  }
}

/** The mounts that all users of a machine or container share, and so are nobody's volume. */
const sharedMounts = ['/', '/tmp', '/var/tmp', '/dev', '/dev/shm', '/run'];

/**
 * Returns whether a path is on a mount of its own that is read-only, or, in a container, a volume. An orchestrator mounts secrets in this way,
 * mostly readable for all users of the container, and keeps them from others. `mountinfo` is as in proc(5).
 */
export function mountOf(path: string, mountinfo: string): 'read-only' | 'volume' | undefined {
  let closest = { point: '', options: '' };
  let isContainer = false;
  for (const line of mountinfo.split('\n')) {
    const [, , , , escaped, options] = line.split(' ');
    if (!escaped || !options) continue;
    const point = escaped.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
    if (point === '/') isContainer = / - overlay /.test(line);
    const isOnPath = path === point || path.startsWith(point.endsWith('/') ? point : `${point}/`);
    // Of several mounts on one point, the last one is seen.
    if (isOnPath && point.length >= closest.point.length) closest = { point, options };
  }
  if (!closest.point || sharedMounts.includes(closest.point)) return undefined;
  if (closest.options.split(',').includes('ro')) return 'read-only';
  return isContainer ? 'volume' : undefined;
}

function quoted(path: string): string {
  return /^[\w./@%+:,-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`;
}

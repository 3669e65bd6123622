import { execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { makeDirectoryPrivate, mountOf, readPrivateFile } from '../../src/cli/private-files.ts';
import { ConfigError } from '../../src/config/index.ts';
import { run, useProcesses } from './process.ts';

useProcesses();

const root = mkdtempSync(join(tmpdir(), 'credential-gateway-files-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const isRoot = process.geteuid?.() === 0;
/** Somebody else. Only root can give files away. */
const OTHER_USER = 54_321;
let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(root, 'case-'));
});

const modeOf = (path: string) => (statSync(path).mode & 0o7777).toString(8);
const read = (path: string) => readPrivateFile(path, 'MASTER_KEY_FILE', (text) => text);
function file(mode: number, path = join(directory, 'key')): string {
  writeFileSync(path, 'content');
  chmodSync(path, mode);
  return path;
}
function folder(name: string, mode: number): string {
  const path = join(directory, name);
  mkdirSync(path);
  chmodSync(path, mode);
  return path;
}

describe.skipIf(process.platform === 'win32')('a key file', () => {
  it.each([0o600, 0o400, 0o644, 0o640, 0o666, 0o777, 0o444])('of this user is made private: %o', (mode) => {
    const path = file(mode);
    expect(read(path)).toBe('content');
    expect(modeOf(path)).toBe((mode & 0o700).toString(8));
  });

  it('that turns out to be no key keeps its permissions', () => {
    const path = file(0o644);
    const refuse = () => {
      throw new ConfigError('This is no key.');
    };
    expect(() => readPrivateFile(path, 'MASTER_KEY_FILE', refuse)).toThrow('This is no key.');
    expect(modeOf(path)).toBe('644');
  });

  it('that a symbolic link leads to is the one that is made private', () => {
    const path = file(0o644);
    symlinkSync('key', join(directory, 'link'));
    symlinkSync(join(directory, 'link'), join(directory, 'link to link'));
    expect(read(join(directory, 'link to link'))).toBe('content');
    expect(modeOf(path)).toBe('600');
  });

  it('is refused where others can replace it, or a directory or link on the way', () => {
    const open = folder('open', 0o777);
    mkdirSync(join(open, 'private'), { mode: 0o700 });
    const inside = file(0o600, join(open, 'private', 'key'));
    const says = new RegExp(`^MASTER_KEY_FILE: others can write to ${open}, .* Run: chmod o-w ${open}, or`);
    expect(() => read(inside)).toThrow(says);
    symlinkSync(file(0o600), join(open, 'link'));
    expect(() => read(join(open, 'link'))).toThrow(says);
    symlinkSync(join(open, 'link'), join(directory, 'outer link'));
    expect(() => read(join(directory, 'outer link'))).toThrow(says);
    symlinkSync('open/private', join(directory, 'folder link'));
    expect(() => read(`${directory}/folder link/../private/key`)).toThrow(says);
    chmodSync(open, 0o755);
    expect(read(join(directory, 'outer link'))).toBe('content');
  });

  it('may be in a directory of all users, such as /tmp, if nobody else can replace it there', () => {
    const shared = folder('shared', 0o1777);
    expect(read(file(0o600, join(shared, 'key')))).toBe('content');
  });

  // As in MASTER_KEY_FILE=<(command).
  it('may be a pipe', () => {
    const pipe = join(directory, 'pipe');
    execFileSync('mkfifo', ['-m', '666', pipe]);
    spawn('sh', ['-c', 'printf content > "$0"', pipe]);
    expect(read(pipe)).toBe('content');
  });

  describe.skipIf(!isRoot)('of another user', () => {
    const foreign = (mode: number) => {
      const path = file(mode);
      chownSync(path, OTHER_USER, OTHER_USER);
      return path;
    };

    it.each([0o600, 0o440, 0o640, 0o400])('is taken, and left as it is: %o', (mode) => {
      const path = foreign(mode);
      expect(read(path)).toBe('content');
      expect(modeOf(path)).toBe(mode.toString(8));
    });

    it.each<[number, string]>([
      [0o644, 'read'],
      [0o604, 'read'],
      [0o666, 'read'],
      [0o660, 'write to'],
      [0o602, 'write to'],
    ])('is refused with the command that helps: %o', (mode, what) => {
      const path = foreign(mode);
      expect(() => read(path)).toThrow(`MASTER_KEY_FILE: others can ${what} ${path}. Run: chmod g-w,o= ${path}.`);
      expect(modeOf(path)).toBe(mode.toString(8));
      execFileSync('chmod', ['g-w,o=', path]);
      expect(read(path)).toBe('content');
    });

    it('is refused in a directory of all users: that user can replace it', () => {
      const shared = folder('shared', 0o1777);
      const path = join(shared, 'key');
      file(0o600, path);
      chownSync(path, OTHER_USER, OTHER_USER);
      expect(() => read(path)).toThrow(/belongs to another user, in a directory that all users can write to/);
    });
  });
});

describe.skipIf(process.platform === 'win32')('a data directory', () => {
  const names = ['mongodb', 'master.key'];
  const prepare = (path: string) => makeDirectoryPrivate(path, 'DATA_DIR', names);

  it('is made private, with what is in it', () => {
    const data = folder('data', 0o777);
    mkdirSync(join(data, 'mongodb'));
    chmodSync(join(data, 'mongodb'), 0o755);
    const files = [file(0o644, join(data, 'master.key')), file(0o666, join(data, 'mongodb', 'data.mdb'))];
    prepare(data);
    expect([data, join(data, 'mongodb'), ...files].map(modeOf)).toEqual(['700', '700', '600', '600']);
  });

  // It may be a home directory, or /etc: others need it as it is.
  it('with files of others keeps its permissions, and is refused if others can write to it', () => {
    const data = folder('data', 0o755);
    const other = file(0o644, join(data, 'other'));
    const key = file(0o644, join(data, 'master.key'));
    prepare(data);
    expect([data, other, key].map(modeOf)).toEqual(['755', '644', '600']);
    chmodSync(data, 0o777);
    expect(() => prepare(data)).toThrow(`DATA_DIR: others can write to ${data}. Run: chmod o-w ${data}.`);
    expect(modeOf(data)).toBe('777');
  });

  it('is never one that all users share, even if it is empty', () => {
    const data = folder('data', 0o1777);
    expect(() => prepare(data)).toThrow(`DATA_DIR: others can write to ${data}. All users share it; choose another directory.`);
    expect(modeOf(data)).toBe('1777');
  });

  it('is refused in a directory that others can write to', () => {
    const open = folder('open', 0o777);
    mkdirSync(join(open, 'data'), { mode: 0o700 });
    expect(() => prepare(join(open, 'data'))).toThrow(
      /^DATA_DIR: others can write to .*open, and so replace what is in it\. Run: chmod o-w /,
    );
  });

  it('does not change what a symbolic link in it leads to', () => {
    const data = folder('data', 0o700);
    const elsewhere = file(0o644);
    symlinkSync(elsewhere, join(data, 'master.key'));
    prepare(data);
    expect(modeOf(elsewhere)).toBe('644');
  });

  it('stops the start, with the command that helps', async () => {
    const open = folder("it's open", 0o777);
    const settings = { DATA_DIR: join(open, 'data'), PORT: '0' };
    const { code, stdout, stderr } = await run(['start'], settings).ended;
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toContain(`Run: chmod o-w '${open.replaceAll("'", "'\\''")}'`);
    const keyFile = join(open, 'master.key');
    writeFileSync(keyFile, randomBytes(32).toString('base64'));
    const refused = await run(['start'], { DATA_DIR: join(directory, 'data'), MASTER_KEY_FILE: keyFile, PORT: '0' }).ended;
    expect(refused).toMatchObject({ code: 1, stdout: '', stderr: expect.stringMatching(/^MASTER_KEY_FILE: others can write to /) });
  });
});

describe('a mount', () => {
  const disk = '26 1 254:0 / / rw,relatime - ext4 /dev/vda rw';
  const overlay = '622 500 0:50 / / rw,relatime master:1 - overlay overlay rw,lowerdir=/a';
  const secret = '640 622 0:52 / /etc/gateway\\040keys ro,relatime - tmpfs tmpfs rw,size=65536k';
  const volume = '641 622 0:53 / /vault/secrets rw,relatime - tmpfs tmpfs rw';
  const shared = ['642 622 0:54 / /tmp rw - tmpfs tmpfs rw', '643 622 0:55 / /run ro - tmpfs tmpfs rw'];

  it.each<[string, string, string[], ReturnType<typeof mountOf>]>([
    ['a secret of Kubernetes', '/etc/gateway keys/..2026_01_01/key', [overlay, secret], 'read-only'],
    ['a read-only mount of a machine', '/etc/gateway keys/key', [disk, secret], 'read-only'],
    ['a volume of a container', '/vault/secrets/key', [overlay, volume], 'volume'],
    ['a directory beside a volume', '/vault/secrets2/key', [overlay, volume], undefined],
    ['a mounted disk of a machine', '/vault/secrets/key', [disk, volume], undefined],
    ['the disk', '/etc/key', [disk, secret, volume], undefined],
    ['the disk of a container', '/etc/key', [overlay, secret, volume], undefined],
    ['what all users share', '/tmp/key', [overlay, ...shared], undefined],
    ['what all users share, read-only', '/run/key', [overlay, ...shared], undefined],
    ['a mount that another one hides', '/vault/secrets/key', [overlay, volume.replace('rw,', 'ro,'), volume], 'volume'],
    ['nothing that is known', '/etc/key', [], undefined],
  ])('%s', (_, path, lines, expected) => {
    expect(mountOf(path, lines.join('\n'))).toBe(expected);
  });

  const canMount = isRoot && process.platform === 'linux';
  it.skipIf(!canMount)('that is read-only may have a key that all users of the container can read', ({ skip }) => {
    const point = folder('mounted', 0o755);
    try {
      execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', point], { stdio: 'ignore' });
    } catch {
      skip('mount is not permitted');
    }
    try {
      // As Kubernetes does it: a link to a link, and permissions for all.
      mkdirSync(join(point, '..2026_01_01'));
      writeFileSync(join(point, '..2026_01_01', 'key'), 'content', { mode: 0o644 });
      symlinkSync('..2026_01_01', join(point, '..data'));
      symlinkSync('..data/key', join(point, 'key'));
      chmodSync(point, 0o1777);
      execFileSync('mount', ['-o', 'remount,ro', point]);
      expect(read(join(point, 'key'))).toBe('content');
      expect(modeOf(join(point, 'key'))).toBe('644');
    } finally {
      execFileSync('umount', [point]);
    }
  });
});

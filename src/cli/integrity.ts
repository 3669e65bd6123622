import { ConfigError } from '../config/index.ts';
import { NotFoundError } from '../errors.ts';
import type { Gateway } from '../gateway/index.ts';

/**
 * Prints the objects that are not as the gateway wrote them, and the secrets that cannot be opened. Returns the exit code: 1 if there are any.
 * @throws ConfigError when there is no such organization
 */
export async function checkIntegrity(gateway: Gateway, organization: string | undefined, print: (line: string) => void): Promise<number> {
  let exitCode = 0;
  for (const name of organization === undefined ? await gateway.audit.organizations() : [organization]) {
    const { altered, unreadable } = await gateway.checkIntegrity(name).catch((error) => {
      throw error instanceof NotFoundError ? new ConfigError('There is no organization with that name.') : error;
    });
    const isIntact = altered.length === 0 && unreadable.length === 0;
    print(`${name}: ${isIntact ? 'intact' : 'NOT INTACT'}`);
    for (const { noun, id } of altered) print(`  ${noun} ${id}: was inserted or changed, but not by the gateway`);
    for (const { noun, credentialId, field, why } of unreadable) print(`  ${noun} ${credentialId}, ${field}: ${why}`);
    if (!isIntact) exitCode = 1;
  }
  return exitCode;
}

import { AsyncLocalStorage } from 'node:async_hooks';
import { describe, expect, it, vi } from 'vitest';
import { UnavailableError } from '../../src/errors.ts';
import { openDatabase } from '../../src/store/database.ts';
import { onOutcome, runTransaction, type TransactionOutcome } from '../../src/store/outcomes.ts';
import { TestGateway, useTestGateway } from '../harness.ts';

const test = useTestGateway();

describe('an attempt of a transaction', () => {
  it('that has ended takes no more listeners: they would never be told', async () => {
    const { connection } = await openDatabase({ uri: test.uri, name: test.databaseName });
    try {
      const told: TransactionOutcome[] = [];
      let goOn = () => {};
      const late = new Promise<void>((resolve) => {
        goOn = resolve;
      });
      let rest: Promise<void> | undefined;
      // Like a function of the store that is given up after the time limit of a request, while it still runs.
      const running = runTransaction(connection, async () => {
        onOutcome((outcome) => void told.push(outcome));
        rest = late.then(() => onOutcome((outcome) => void told.push(outcome)));
        rest.catch(() => {});
        throw new UnavailableError('The database does not respond.', 5);
      });
      await expect(running).rejects.toBeInstanceOf(UnavailableError);
      expect(told).toEqual(['unknown']);
      goOn();
      await expect(rest).rejects.toMatchObject({ code: 'UNAVAILABLE', outcome: 'NOT_EXECUTED' });
      expect(told).toEqual(['unknown']);
    } finally {
      await connection.close();
    }
  });
});

it('a closed store leaves no storage behind that makes the promises of the process dearer', async () => {
  const disable = vi.spyOn(AsyncLocalStorage.prototype, 'disable');
  const other = new TestGateway();
  await other.start();
  await other.create({ organization: other.newOrganization() }, 'Integration', { name: 'one' });
  await other.stop();
  expect(disable).toHaveBeenCalledOnce();
  disable.mockRestore();
});

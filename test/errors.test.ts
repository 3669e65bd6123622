import { expect, it } from 'vitest';
import { ConflictError, EmailNotVerifiedError, InvalidIntegrationError, NotFoundError, ValidationError } from '../src/errors.ts';

it('an error is the same within a larger input, and its paths begin with the place there', () => {
  const path = ['input', 'list', 0];
  const issues = [
    { path: ['name'], message: 'must not be empty' },
    { path: [], message: 'must have one member' },
  ];
  expect(new ValidationError(issues).within(path)).toEqual(
    new ValidationError([
      { path: ['input', 'list', 0, 'name'], message: 'must not be empty' },
      { path: ['input', 'list', 0], message: 'must have one member' },
    ]),
  );
  expect(new NotFoundError('end user', ['endUser']).within(path)).toEqual(new NotFoundError('end user', ['input', 'list', 0, 'endUser']));
  expect(new InvalidIntegrationError(['integration']).within(path)).toEqual(
    new InvalidIntegrationError(['input', 'list', 0, 'integration']),
  );
  expect(new ConflictError('It changed.', ['expectedVersion'], 7).within(path)).toEqual(
    new ConflictError('It changed.', ['input', 'list', 0, 'expectedVersion'], 7),
  );
});

it('an error that is about no place of the input stays as it is', () => {
  for (const error of [new ConflictError('It changed.', []), new EmailNotVerifiedError()]) expect(error.within(['input'])).toBe(error);
});

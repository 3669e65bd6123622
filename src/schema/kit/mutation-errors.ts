import {
  ConflictError,
  EmailNotVerifiedError,
  type GatewayError,
  InUseError,
  InvalidIntegrationError,
  type Issue,
  NotFoundError,
  type Path,
  SSONotConfiguredError,
  ssoRequirements,
  UnreadableSecretError,
  type Usage,
  ValidationError,
} from '../../errors.ts';
import type { Builder } from './builder.ts';
import { encodeId } from './global-id.ts';

/** Adds the error types that mutations answer with. */
export function addErrorTypes(builder: Builder) {
  const mutationError = builder.interfaceRef<GatewayError>('MutationError').implement({
    description: 'Why a mutation did nothing. Every member of a result union but the success implements it.',
    fields: (t) => ({
      code: t.exposeString('code', { description: 'Stable and meant for programs: `NOT_FOUND`, `CONFLICT`, …' }),
      message: t.exposeString('message', { description: 'Meant for people. Never holds a value that the caller sent.' }),
    }),
  });
  const pathDescription = 'Where in the arguments, as in `["input", "contacts", "0", "email"]`.';
  const pathOf = ({ path }: { readonly path: Path }) => path.map(String);

  const issue = builder.objectRef<Issue>('ValidationIssue').implement({
    description: 'One broken rule.',
    fields: (t) => ({
      path: t.stringList({ description: pathDescription, resolve: pathOf }),
      message: t.exposeString('message', { description: 'What would be right.' }),
    }),
  });
  const usage = builder.objectRef<Usage>('InUseUsage').implement({
    description: 'An object that needs the one that was to be deleted.',
    fields: (t) => ({
      noun: t.exposeString('noun', { description: 'What it is: `connection`, `connector`, `endUser` or `credential`.' }),
      id: t.id({ description: 'Its global id; `node(id:)` gives it.', resolve: ({ noun, id }) => encodeId(noun as never, id) }),
      name: t.exposeString('name', { description: 'Its name, or an end user’s display name.' }),
    }),
  });

  builder.objectType(ValidationError, {
    name: 'ValidationError',
    description: 'The input breaks rules. All broken ones are listed, so that a form can mark every field at once.',
    interfaces: [mutationError],
    fields: (t) => ({ issues: t.field({ type: [issue], description: 'The broken rules.', resolve: ({ issues }) => issues }) }),
  });
  builder.objectType(NotFoundError, {
    name: 'NotFoundError',
    description: 'What the arguments name does not exist, or belongs to another organization: one answer for both.',
    interfaces: [mutationError],
    fields: (t) => ({ path: t.stringList({ description: pathDescription, resolve: pathOf }) }),
  });
  builder.objectType(InvalidIntegrationError, {
    name: 'InvalidIntegrationError',
    description: 'The integration that the arguments name does not exist, or belongs to another organization.',
    interfaces: [mutationError],
    fields: (t) => ({ path: t.stringList({ description: pathDescription, resolve: pathOf }) }),
  });
  builder.objectType(UnreadableSecretError, {
    name: 'UnreadableSecretError',
    description: 'The secret is there and cannot be opened: its key is destroyed or not at hand, or what is stored was tampered with.',
    interfaces: [mutationError],
  });
  builder.objectType(EmailNotVerifiedError, {
    name: 'EmailNotVerifiedError',
    description: 'Nobody vouched that the contact’s mail address is the contact’s, or there is none; `setEmailVerified` vouches.',
    interfaces: [mutationError],
  });
  const requirement = builder.enumType('SSORequirement', {
    description: 'What it takes to sign in to Zendesk.',
    values: Object.fromEntries(
      Object.entries(ssoRequirements).map(([name, text]) => [name, { description: `Missing: ${text}.` }]),
    ) as Record<keyof typeof ssoRequirements, { description: string }>,
  });
  builder.objectType(SSONotConfiguredError, {
    name: 'SSONotConfiguredError',
    description: 'Nothing can sign for the end user.',
    interfaces: [mutationError],
    fields: (t) => ({ missing: t.expose('missing', { type: requirement, description: 'What is missing.' }) }),
  });
  builder.objectType(ConflictError, {
    name: 'ConflictError',
    description: 'The name or external id is taken, or the object is at another version than expected.',
    interfaces: [mutationError],
    fields: (t) => ({
      path: t.stringList({ description: pathDescription, resolve: pathOf }),
      currentVersion: t.exposeInt('currentVersion', {
        nullable: true,
        description: 'The version now, when that is the conflict; null when it is about a name.',
      }),
    }),
  });
  builder.objectType(InUseError, {
    name: 'InUseError',
    description: 'Something needs the object, or it is not empty. `force` deletes it all the same.',
    interfaces: [mutationError],
    fields: (t) => ({
      usages: t.field({
        type: [usage],
        description: 'The first ten at most, of those that the viewer has the scope to read.',
        resolve: ({ usages }) => usages,
      }),
      usageCount: t.exposeInt('usageCount', {
        description: 'How many in all, those that are not shown included. Counting stops at 100,000 of a kind.',
      }),
    }),
  });
}

import type { Noun } from '../../access/nouns.ts';
import {
  AlteredRecordError,
  asSentence,
  ConflictError,
  CredentialNotUsableError,
  EmailNotVerifiedError,
  type GatewayError,
  InUseError,
  InvalidIntegrationError,
  type Issue,
  NotFoundError,
  type Path,
  ServiceFailedError,
  SSONotConfiguredError,
  serviceFailures,
  ssoRequirements,
  UnreadableSecretError,
  type Usage,
  ValidationError,
} from '../../errors.ts';
import type { Builder } from './builder.ts';
import { describedBy, errorCode, notUsableReason, nounValues } from './closed-sets.ts';
import { encodeId } from './global-id.ts';
import type { Nodes } from './node.ts';
import type { ReadableExtensions } from './required-scopes.ts';

/** What can use another object and so prevent its deletion. */
const usageNouns = ['connection', 'connector', 'endUser', 'credential'] as const satisfies readonly Noun[];
type UsageNoun = (typeof usageNouns)[number];

/** Adds the error types that mutations return. Returns the type of a broken rule. */
export function addErrorTypes(builder: Builder, { node, load }: Nodes) {
  const mutationError = builder.interfaceRef<GatewayError>('MutationError').implement({
    description: 'The reason why a mutation changed nothing. All error types in result unions implement it.',
    fields: (t) => ({
      code: t.expose('code', { type: errorCode(builder), description: 'A stable code for programs.' }),
      message: t.exposeString('message', { description: 'A text for people, without any value from the input.' }),
      requestId: t.string({
        description:
          'The id of the request, as in the response header `X-Request-Id`. The logs contain it: name it when you report the error.',
        resolve: (_error, _args, { requestId }) => requestId,
      }),
    }),
  });
  const pathDescription = 'The path in the arguments, such as `["input", "contacts", "0", "email"]`.';
  const pathOf = ({ path }: { readonly path: Path }) => path.map(String);

  const issue = builder.objectRef<Issue>('ValidationIssue').implement({
    description: 'One broken rule.',
    fields: (t) => ({
      path: t.stringList({ description: pathDescription, resolve: pathOf }),
      message: t.exposeString('message', { description: 'What is valid.' }),
    }),
  });
  const usageNoun = builder.enumType('InUseNoun', {
    description: 'What an object is that uses another one.',
    values: nounValues(usageNouns),
  });
  const usage = builder.objectRef<Usage>('InUseUsage').implement({
    description: 'An object that uses another one and so prevents its deletion.',
    fields: (t) => ({
      noun: t.field({ type: usageNoun, description: 'What the object is.', resolve: ({ noun }) => noun as UsageNoun }),
      node: t.field({
        type: node,
        nullable: true,
        description: 'The object. Null if it has been deleted meanwhile.',
        // Usages that the viewer may not read are not listed.
        extensions: { isReadable: true } satisfies ReadableExtensions,
        resolve: ({ noun, id }, _args, context) => load(noun as Noun, id, context),
      }),
      name: t.exposeString('name', { description: 'The name; for an end user, the display name.' }),
    }),
  });

  builder.objectType(ValidationError, {
    name: 'ValidationError',
    description: 'The input breaks rules. Every broken rule is listed, so that a form can mark all invalid fields at once.',
    interfaces: [mutationError],
    fields: (t) => ({ issues: t.field({ type: [issue], description: 'The broken rules.', resolve: ({ issues }) => issues }) }),
  });
  builder.objectType(NotFoundError, {
    name: 'NotFoundError',
    description: 'The input refers to an object that does not exist or that the viewer may not see. Both cases have the same message.',
    interfaces: [mutationError],
    fields: (t) => ({ path: t.stringList({ description: pathDescription, resolve: pathOf }) }),
  });
  builder.objectType(InvalidIntegrationError, {
    name: 'InvalidIntegrationError',
    description: 'The integration that the input names does not exist, or the viewer may not see it.',
    interfaces: [mutationError],
    fields: (t) => ({ path: t.stringList({ description: pathDescription, resolve: pathOf }) }),
  });
  builder.objectType(UnreadableSecretError, {
    name: 'UnreadableSecretError',
    description: 'The stored secret cannot be opened: its key was destroyed or is not available, or the stored value was tampered with.',
    interfaces: [mutationError],
  });
  builder.objectType(AlteredRecordError, {
    name: 'AlteredRecordError',
    description:
      'A stored object that the mutation needs was changed, but not by the gateway. Nothing is done with such an object, except that it can be deleted.',
    interfaces: [mutationError],
  });
  builder.objectType(EmailNotVerifiedError, {
    name: 'EmailNotVerifiedError',
    description: 'The contact’s email address is not set or not verified. Verify it with `setEmailVerified`.',
    interfaces: [mutationError],
  });
  const requirement = builder.enumType('SSORequirement', {
    description: 'A requirement for signing in to Zendesk.',
    values: describedBy(ssoRequirements, (text) => `Not met: ${text}.`),
  });
  builder.objectType(SSONotConfiguredError, {
    name: 'SSONotConfiguredError',
    description: 'A requirement for signing in to Zendesk is not met.',
    interfaces: [mutationError],
    fields: (t) => ({ missing: t.expose('missing', { type: requirement, description: 'The requirement that is not met.' }) }),
  });
  builder.objectType(CredentialNotUsableError, {
    name: 'CredentialNotUsableError',
    description: 'A credential may not or cannot be used for the request. `Connection.requestPlan` shows all problems of a connection.',
    interfaces: [mutationError],
    fields: (t) => ({
      reason: t.expose('reason', { type: notUsableReason(builder), description: 'The reason.' }),
      credentialId: t.id({
        nullable: true,
        description: 'The global id of the credential. Null if the reason is not one of a single credential.',
        resolve: ({ credentialId }) => credentialId && encodeId('credential', credentialId),
      }),
    }),
  });
  const serviceFailure = builder.enumType('ServiceFailure', {
    description: 'Why the service of a third party did not do what the gateway asked for.',
    values: describedBy(serviceFailures, asSentence),
  });
  builder.objectType(ServiceFailedError, {
    name: 'ServiceFailedError',
    description: 'The service of a third party could not be reached, refused the request of the gateway, or answered in an unusable way.',
    interfaces: [mutationError],
    fields: (t) => ({
      reason: t.expose('reason', { type: serviceFailure, description: 'Why.' }),
      serviceCode: t.exposeString('serviceCode', {
        nullable: true,
        description:
          'The error code of the service, if a standard defines it, such as `invalid_grant` (RFC 6749, section 5.2). Null for any other.',
      }),
    }),
  });
  builder.objectType(ConflictError, {
    name: 'ConflictError',
    description: 'The name or external id is already in use, or `expectedVersion` is not the current version.',
    interfaces: [mutationError],
    fields: (t) => ({
      path: t.stringList({ description: pathDescription, resolve: pathOf }),
      currentVersion: t.exposeInt('currentVersion', {
        nullable: true,
        description: 'The current version. Null if the conflict is not about versions.',
      }),
    }),
  });
  builder.objectType(InUseError, {
    name: 'InUseError',
    description: 'The object is in use or not empty. Set `force` to delete it anyway.',
    interfaces: [mutationError],
    fields: (t) => ({
      usages: t.field({
        type: [usage],
        description: 'The first usages that the viewer may read, at most ten.',
        resolve: ({ usages }) => usages,
      }),
      usageCount: t.exposeInt('usageCount', {
        description: 'The number of all usages, including those not in `usages`. Counting stops at 10,000 of each noun.',
      }),
    }),
  });
  return issue;
}

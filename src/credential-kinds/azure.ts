import { secret, text } from '../fields/field.ts';
import { defineCredentialKind } from './define.ts';

export const azure = defineCredentialKind({
  kind: 'azure',
  typeName: 'AzureCredential',
  description: 'An Azure storage account and one of its two shared keys. For an Entra ID application, use OAuth2ClientCredential.',
  apply: { alone: { put: 'AZURE_SHARED_KEY', parts: { account: '{account}', key: '{accountKey}' } } },
  fields: {
    account: text({
      searchable: true,
      description: 'Not secret. The name of the storage account.',
      maxLength: 255,
      example: 'my account',
      invalidExample: '',
    }),
    accountKey: secret({
      description: 'One of the account’s access keys.',
      minLength: 4,
      maxLength: 128,
      format: 'token',
      example: '123abc',
      invalidExample: '123',
    }),
  },
});

import type { Noun } from './scopes.ts';
export const nounTable: Readonly<Record<Noun, { readonly label: string; readonly plural: string; readonly typeName: string }>> = {
  integration: { label: 'integration', plural: 'integrations', typeName: 'Integration' },
  connector: { label: 'connector', plural: 'connectors', typeName: 'Connector' },
  endUser: { label: 'end user', plural: 'endUsers', typeName: 'EndUser' },
  connection: { label: 'connection', plural: 'connections', typeName: 'Connection' },
  credential: { label: 'credential', plural: 'credentials', typeName: 'Credential' },
  apiKey: { label: 'API key', plural: 'apiKeys', typeName: 'APIKey' },
  auditEntry: { label: 'audit entry', plural: 'audit', typeName: 'AuditEntry' },
};

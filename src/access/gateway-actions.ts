/**
 * The actions in the audit log of an organization that are no mutations, with what they mean: those of the gateway itself, of its commands, and of other ways
 * into it. The audit log names every other action as its mutation.
 */
export const gatewayActions = {
  destroyDataKey: 'The gateway has destroyed a data key under which nothing is sealed any more.',
  detectAlteration: 'The gateway has found an object that was changed, but not by the gateway.',
  expireCredential: 'The gateway has deleted a credential whose time `expiresAt` has come.',
  exportSecrets: 'The command `export` has exported the secrets of an integration.',
  importCredentials: 'The command `import` has created or changed credentials.',
  importEndUsers: 'The command `import` has created or changed end users.',
  migrate: 'The command `migrate` has accepted what an earlier version had stored.',
  missAuditEntries: 'Entries were removed from this log before they were sealed.',
  pauseWebhook: 'The gateway has paused a webhook, because its deliveries fail.',
  proxyRequest: 'A request was sent over a connection by `/proxy`.',
  readCredentials: 'Credentials were read, without their secrets. Only if reads are logged.',
  replaceDataKey: 'The gateway has replaced a data key with a new one.',
  voidAuditNumber: 'Nothing was done: it closes a gap in the numbers of the entries.',
} as const;

export type GatewayAction = keyof typeof gatewayActions;

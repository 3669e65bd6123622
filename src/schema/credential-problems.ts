import DataLoader from 'dataloader';
import { credentialProblems } from '../domain/credential.ts';
import type { CredentialRecord } from '../domain/reading.ts';
import type { GraphQLContext } from './builder.ts';

/** How many credentials are looked at together. */
const CREDENTIALS_PER_BATCH = 1_000;

type Problems = readonly string[] | null;

/** By request: what its resolvers ask for one by one is looked up together, in two commands. Nothing is kept. */
const loaders = new WeakMap<object, DataLoader<CredentialRecord, Problems>>();

/** What is wrong with a credential, secrets that cannot be opened included. Costs nothing unless it is asked for. */
export async function loadProblems(context: GraphQLContext, credential: CredentialRecord): Promise<string[] | null> {
  let loader = loaders.get(context.loaders);
  if (!loader) {
    loader = new DataLoader((credentials) => credentialProblems(context, credentials), {
      cache: false,
      maxBatchSize: CREDENTIALS_PER_BATCH,
    });
    loaders.set(context.loaders, loader);
  }
  const problems = await loader.load(credential);
  return problems && [...problems];
}

// The facts of the benchmark's page, as an application would read them with mongoose: models of its own, lean documents, and a DataLoader for
// each edge, so that a page is five commands whatever its length.
import DataLoader from 'dataloader';
import { Mongoose, Schema } from 'mongoose';

/** Connects, and returns what makes the readers of one request for an organization. */
export async function openData({ uri, name }) {
  const mongoose = new Mongoose();
  await mongoose.connect(uri, { dbName: name, autoIndex: false, autoCreate: false });
  const model = (modelName, collection, fields) =>
    mongoose.model(modelName, new Schema({ _id: String, organizationId: String, name: String, ...fields }), collection);
  const Connection = model('Connection', 'connections', {
    connectorId: String,
    endUserId: String,
    actionCredentials: [{ _id: false, credentialId: String }],
    credentialIds: [String],
    createdAt: Date,
  });
  const Connector = model('Connector', 'connectors', {});
  const EndUser = model('EndUser', 'endUsers', { displayName: String });
  const Credential = model('Credential', 'credentials', { kind: String, settings: Schema.Types.Mixed, secrets: Schema.Types.Mixed });

  return (organizationId) => {
    const byId = (source, fields) =>
      new DataLoader(async (ids) => {
        const found = new Map(
          (await source.find({ organizationId, _id: { $in: ids } }, fields).lean()).map((record) => [record._id, record]),
        );
        return ids.map((id) => found.get(id) ?? null);
      });
    const connectors = byId(Connector, { name: 1 });
    const endUsers = byId(EndUser, { displayName: 1 });
    const credentials = byId(Credential, { name: 1, kind: 1, settings: 1, secrets: 1 });
    const usages = new DataLoader(async (ids) => {
      const found = await Connection.find({ organizationId, credentialIds: { $in: ids } }, { name: 1, credentialIds: 1 }).lean();
      return ids.map((id) => found.filter(({ credentialIds }) => credentialIds.includes(id)));
    });
    return {
      connections: (first) =>
        Connection.find({ organizationId }, { name: 1, connectorId: 1, endUserId: 1, actionCredentials: 1 })
          .sort({ createdAt: -1, _id: -1 })
          .limit(first)
          .lean(),
      connector: (id) => connectors.load(id),
      endUser: (id) => endUsers.load(id),
      credential: (id) => credentials.load(id),
      usages: async (id, first) => (await usages.load(id)).slice(0, first),
    };
  };
}

/** What is shown of a password. */
export const redacted = ({ secrets }) => (secrets?.password ? '*****' : '');

/** The kind of a credential as the API names it: `oauth2Client` is stored, `OAUTH2_CLIENT` is shown. */
export const shownKind = ({ kind }) => kind.replace(/[A-Z]/g, '_$&').toUpperCase();

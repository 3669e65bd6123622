// Asks for everything that needs a package which is not installed, and prints the errors.
import { startEmbeddedMongodb } from 'credential-gateway';
import { openGateway } from './gateway.js';

const told = (error: Error & { code?: string; packageName?: string }) => ({
  name: error.name,
  code: error.code,
  packageName: error.packageName,
  message: error.message,
});
const awsKmsKeyArn = 'arn:aws:kms:eu-central-1:111122223333:key/0a1b2c3d';
const directory = process.env.MY_DIRECTORY ?? '';
const nowhere = 'mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=1';
console.log(
  JSON.stringify([
    await startEmbeddedMongodb({ directory, worker: true }).catch(told),
    await startEmbeddedMongodb({ directory }).catch(told),
    await openGateway(nowhere, { graphiql: true }).catch(told),
    await openGateway(nowhere, { masterKeys: [{ awsKmsKeyArn }] }).catch(told),
  ]),
);

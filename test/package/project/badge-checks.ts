import { test } from 'node:test';
import { credentialKindChecks } from 'credential-gateway/testing';
import { badge } from './badge.js';

for (const { name, run } of credentialKindChecks(badge)) test(name, run);

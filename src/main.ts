#!/usr/bin/env node
import { handleSignals } from './cli/signals.ts';

handleSignals();
// Node reads the source maps of those modules only that are loaded from here on: a static import would be loaded before.
process.setSourceMapsEnabled(true);
const { endOnDefects } = await import('./cli/crash.ts');
endOnDefects();
const { runProgram } = await import('./cli/program.ts');
await runProgram();

/** The function that the worker threads run. */
export { runTask as default } from './tasks.ts';

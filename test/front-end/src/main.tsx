import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { forgetToken } from './gateway.ts';
import { SettingsPage } from './settings-page.tsx';
import './style.css';

const root = createRoot(document.getElementById('page')!);
root.render(
  <StrictMode>
    <SettingsPage />
  </StrictMode>,
);

// For the Back button, a browser keeps a page as it was left, with its inputs and its memory. By then, the user can have signed out.
addEventListener('pagehide', () => {
  // React holds the input that has the focus.
  document.querySelector<HTMLElement>(':focus')?.blur();
  for (const form of document.forms) form.reset();
  root.unmount();
  forgetToken();
});
addEventListener('pageshow', ({ persisted }) => {
  if (persisted) location.reload();
});

import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { SettingsPage } from './settings-page.tsx';
import './style.css';

createRoot(document.getElementById('page')!).render(
  <StrictMode>
    <SettingsPage />
  </StrictMode>,
);

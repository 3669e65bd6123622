import { Component, type ReactNode } from 'react';

interface Props {
  /** What is shown in place of what cannot be drawn. */
  fallback: ReactNode;
  children: ReactNode;
}

/** Keeps an exception in one part of the page from emptying all of it. */
export class ErrorBoundary extends Component<Props, { hasFailed: boolean }> {
  override state = { hasFailed: false };

  static getDerivedStateFromError() {
    return { hasFailed: true };
  }

  override render() {
    return this.state.hasFailed ? this.props.fallback : this.props.children;
  }
}

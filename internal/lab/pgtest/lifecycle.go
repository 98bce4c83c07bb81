package pgtest

import (
	"context"
)

// Mode is how a server is stopped.
type Mode int

const (
	Fast      Mode = iota // ends sessions, writes a checkpoint
	Immediate             // ends at once; the next start recovers from the log
)

// Stop ends all sessions and shuts down cleanly. It is a no-op on a stopped
// server. If ctx ends first, the server may still be shutting down.
func (s *Server) Stop(ctx context.Context) error {
	return s.operate(ctx, "stop", func(ctx context.Context, c *cluster) error { return c.stop(ctx, Fast) })
}

// StopImmediate ends the server without a checkpoint, so that the next start
// goes through recovery.
func (s *Server) StopImmediate(ctx context.Context) error {
	return s.operate(ctx, "stop immediately", func(ctx context.Context, c *cluster) error { return c.stop(ctx, Immediate) })
}

// Start runs the server again after Stop or Crash, on the same port, and returns
// when it accepts connections. It is a no-op on a running server.
func (s *Server) Start(ctx context.Context) error {
	ctx, cancel := withTimeout(ctx, s.config.StartTimeout)
	defer cancel()
	return s.operate(ctx, "start", func(ctx context.Context, c *cluster) error { return c.start(ctx) })
}

// Restart is Stop or StopImmediate, then Start.
func (s *Server) Restart(ctx context.Context, mode Mode) error {
	ctx, cancel := withTimeout(ctx, s.config.StartTimeout)
	defer cancel()
	return s.operate(ctx, "restart", func(ctx context.Context, c *cluster) error {
		if err := c.stop(ctx, mode); err != nil {
			return err
		}
		return c.start(ctx)
	})
}

// Crash kills all processes of the server at once, as the kernel does when it
// runs out of memory, and returns when they are gone. Start recovers. It
// returns ErrNotRunning if the server does not run.
func (s *Server) Crash(ctx context.Context) error {
	return s.operate(ctx, "crash", func(ctx context.Context, c *cluster) error { return c.crash(ctx) })
}

// KillBackend kills one backend, given by its pg_backend_pid, without waiting.
// Postgres then restarts all others and recovers by itself. It returns an error
// for a pid that is not a backend of this server.
func (s *Server) KillBackend(pid int) error {
	return s.operate(context.Background(), "kill backend", func(_ context.Context, c *cluster) error { return c.killBackend(pid) })
}

package demo

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// Leash returns the context of a child. It ends with SIGTERM, or when the parent has ended, even by SIGKILL. Call it once:
// it reads standard input until the process ends.
func Leash() (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		// The parent has the other end of the pipe. This goroutine ends with the process.
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	return ctx, func() { cancel(); stop() }
}

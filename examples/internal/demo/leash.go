package demo

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// Leash is the context of a child: it ends with SIGTERM, or when the parent is gone, in whatever way. It is called once,
// and reads standard input until the process ends.
func Leash() (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		// The parent holds the other end. This goroutine ends with the process.
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	return ctx, func() { cancel(); stop() }
}

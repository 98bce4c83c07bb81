// Command notes is an application as one deploys it: accounts, settings and notes with attachments, login by password or
// at an identity provider, as one process on SQLite or as many pods on Postgres.
//
//	notes            serves, until SIGTERM
//	notes migrate    makes the tables, once for each deployment, as their owner
package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	slog.SetDefault(slog.New(slog.NewJSONHandler(os.Stderr, nil)))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[len(os.Args)-1] == "migrate"); err != nil {
		slog.Error("notes ended", slog.Any("error", err))
		os.Exit(1) //nolint:gocritic // stop has nothing left to do
	}
}

func run(ctx context.Context, migrate bool) error {
	s, err := settingsFromEnv()
	if err != nil {
		return err
	}
	if migrate {
		return migrateDatabase(ctx, s)
	}

	b, err := openBackend(ctx, s)
	if err != nil {
		return err
	}
	a, err := newApp(s, b)
	if err != nil {
		return errors.Join(err, b.close())
	}
	return a.serve(ctx)
}

// serve runs until ctx ends, and then ends in the order in which nothing is lost: readiness first, so that no new
// requests come; streams are sent elsewhere; requests under way finish; leases are handed over and uses of sessions
// written; the bus last.
func (a *app) serve(ctx context.Context) error {
	stopRunning := a.backend.run()
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", a.settings.addr)
	if err != nil {
		return errors.Join(err, stopRunning(), a.close())
	}
	server := &http.Server{Handler: a.handler(), ReadHeaderTimeout: 10 * time.Second}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	slog.InfoContext(ctx, "serving", slog.String("address", listener.Addr().String()))

	select {
	case <-ctx.Done():
	case err := <-ended:
		return errors.Join(err, stopRunning(), a.close())
	}

	a.status.Drain()
	a.drain()
	time.Sleep(a.settings.drain) // until load balancers have noticed
	grace, cancel := context.WithTimeout(context.Background(), a.settings.shutdown)
	defer cancel()
	err = server.Shutdown(grace)
	err = errors.Join(err, stopRunning(), a.close())
	slog.InfoContext(context.WithoutCancel(ctx), "ended", slog.Any("error", err))
	return err
}

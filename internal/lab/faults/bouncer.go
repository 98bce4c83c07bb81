package main

import (
	"context"
	"net/url"

	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
)

func missingBouncer(options) string {
	if _, err := pgtest.FindBouncer(); err != nil {
		return "pgbouncer"
	}
	return ""
}

// pooled puts a PgBouncer in transaction mode between the pods and the server.
func pooled(ctx context.Context, s *scene) error {
	u, err := url.Parse(s.dsn)
	if err != nil {
		return err
	}
	b, err := pgtest.StartBouncer(ctx, s.dsn, &pgtest.BouncerConfig{Ignore: []string{"idle_in_transaction_session_timeout"}})
	if err != nil {
		return err
	}
	s.finally(b.Close)
	u.Host = b.Addr()
	s.podDSN = u.String()
	return nil
}

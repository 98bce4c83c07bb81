package bus_test

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

func fallbackOf(c *pgx.ConnConfig) *pgconn.FallbackConfig {
	return &pgconn.FallbackConfig{Host: c.Host, Port: c.Port, TLSConfig: c.TLSConfig}
}

// requireWritable is what target_session_attrs=read-write does.
func requireWritable(ctx context.Context, conn *pgconn.PgConn) error {
	results, err := conn.Exec(ctx, "SHOW transaction_read_only").ReadAll()
	if err != nil {
		return err
	}
	if string(results[0].Rows[0][0]) == "on" {
		return errors.New("read-only server")
	}
	return nil
}

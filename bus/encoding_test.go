package bus_test

import (
	"context"
	"database/sql"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
)

// inEncoding is a database of this encoding with the schema, and its DSN as a configuration of a pool.
func inEncoding(t *testing.T, encoding string) *pgxpool.Config {
	t.Helper()
	db := pgtest.New(t, nil)
	admin := db.Pool(t)
	name := db.Name + "_encoded"
	_, err := admin.Exec(t.Context(), fmt.Sprintf("CREATE DATABASE %q ENCODING '%s' LOCALE 'C' TEMPLATE template0", name, encoding))
	require.NoError(t, err)
	t.Cleanup(func() { _, _ = admin.Exec(context.Background(), fmt.Sprintf("DROP DATABASE %q WITH (FORCE)", name)) })
	config, err := pgxpool.ParseConfig(db.DSN)
	require.NoError(t, err)
	config.ConnConfig.Database = name
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	defer pool.Close()

	require.NoError(t, makeSchema(t.Context(), pool))
	return config
}

// Whatever the encodings of the database and of the writer's connection are, and whichever way an event takes: other
// pods get the key, or the whole topic.
func TestEncodings(t *testing.T) {
	t.Parallel()
	keys := []string{"plain", "café", "鍵", "Ã©", "\u2028"}
	for _, encoding := range []string{"UTF8", "LATIN1", "SQL_ASCII", "EUC_JP", "WIN1252"} {
		t.Run(encoding, func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			config := inEncoding(t, encoding)
			listening, err := pgxpool.NewWithConfig(ctx, config)
			require.NoError(t, err)
			t.Cleanup(listening.Close)
			cfg := quick("töst 鍵")
			cfg.Version = "ß"
			other := start(t, listening, cfg)

			for _, client := range []string{"", "UTF8", "LATIN1", "SQL_ASCII"} {
				if client == "LATIN1" && encoding != "UTF8" && encoding != "SQL_ASCII" && encoding != "LATIN1" {
					continue // Postgres has no such conversion
				}
				config := config.Copy()
				if client != "" {
					config.ConnConfig.RuntimeParams["client_encoding"] = client
				}
				pool, err := pgxpool.NewWithConfig(ctx, config)
				require.NoError(t, err)
				t.Cleanup(pool.Close)
				p := start(t, pool, quick("writer"))
				db := stdlib.OpenDBFromPool(pool)
				t.Cleanup(func() { _ = db.Close() })

				for name, publish := range publishers(p, pool, db) {
					for _, key := range keys {
						exact, whole := other.count(key), other.count("*")
						err := publish(ctx, bus.Event{Topic: "item", Keys: []string{key}})
						require.NoError(t, err, "%s, client %q, %q", name, client, key)
						eventually(t, func() bool { return other.count(key) > exact || other.count("*") > whole }, "%s, client %q, %q", name, client, key)
						if key == "plain" || encoding == "UTF8" && client == "UTF8" {
							require.Equal(t, whole, other.count("*"), "%s, client %q, %q: exact", name, client, key)
						}
					}
					if encoding != "UTF8" {
						require.ErrorIs(t, publish(ctx, bus.Event{Topic: "ünïcode", All: true}), bus.ErrInvalidEvent, name)
					}
				}
				p.stop()
			}
		})
	}
}

// A database without an encoding is refused at the start where texts would have to be UTF-8.
func TestEncodingRefused(t *testing.T) {
	t.Parallel()
	config := inEncoding(t, "SQL_ASCII")
	config.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	err = prepare(t, pool, quick("a")).Run(t.Context())
	require.ErrorIs(t, err, bus.ErrConfig)
	require.ErrorContains(t, err, "SQL_ASCII")
}

// publishers are the ways that an event of the library can take into the log.
func publishers(p *pod, pool *pgxpool.Pool, db *sql.DB) map[string]func(context.Context, bus.Event) error {
	return map[string]func(context.Context, bus.Event) error{
		"Publish": func(ctx context.Context, e bus.Event) error { _, err := p.Publish(ctx, e); return err },
		"InTx": func(ctx context.Context, e bus.Event) error {
			_, err := p.InTx(ctx, func(tx *bus.Tx) error {
				if e.All {
					tx.InvalidateAll(e.Topic)
				}
				tx.Invalidate(e.Topic, e.Keys...)
				return nil
			})
			return err
		},
		"Stage": func(ctx context.Context, e bus.Event) error {
			var staged *bus.Staged
			err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) (err error) {
				staged, err = p.Stage(ctx, tx, e)
				return err
			})
			if err == nil {
				staged.Committed()
			}

			return err
		},
		"InSQL": func(ctx context.Context, e bus.Event) error {
			_, err := p.InSQL(ctx, db, func(_ *sql.Tx, s *bus.Staging) error {
				if e.All {
					s.InvalidateAll(e.Topic)
				}
				s.Invalidate(e.Topic, e.Keys...)
				return nil
			})
			return err
		},
	}
}

// Writers in SQL say keys in the encoding of their connection, or in a database without one in any bytes.
func TestEncodingsOfSQLWriters(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	for encoding, key := range map[string]string{"LATIN1": "café", "EUC_JP": "鍵", "SQL_ASCII": "*"} {
		config := inEncoding(t, encoding)
		pool, err := pgxpool.NewWithConfig(ctx, config)
		require.NoError(t, err)
		t.Cleanup(pool.Close)
		p := start(t, pool, quick("a"))

		writer, err := pgx.ConnectConfig(ctx, config.ConnConfig)
		require.NoError(t, err)
		if encoding == "SQL_ASCII" {
			_, err = writer.Exec(ctx, `SELECT pgcoherence.invalidate('item', E'caf\351')`)
		} else {
			_, err = writer.Exec(ctx, "SET client_encoding = UTF8")
			require.NoError(t, err)
			_, err = writer.Exec(ctx, "SELECT pgcoherence.invalidate('item', '"+key+"')")
		}
		require.NoError(t, err, encoding)
		eventually(t, func() bool { return p.has(key) }, encoding)
		require.NoError(t, writer.Close(ctx))
	}
}

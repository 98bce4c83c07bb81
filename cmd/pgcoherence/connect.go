package main

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"regexp"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"
)

// The environment that every command reads.
const (
	envDSN    = "PGCOHERENCE_DATABASE_URL"
	envSchema = "PGCOHERENCE_SCHEMA"
)

func envOr(name, otherwise string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return otherwise
}

// address returns where the database is, and who said so. An empty address leaves it to libpq's variables.
func (a *app) address() (dsn, from string) {
	switch {
	case a.dsn != "":
		return a.dsn, "--dsn"
	case os.Getenv(envDSN) != "":
		return os.Getenv(envDSN), envDSN
	}
	return "", "libpq's variables (PGHOST, PGSERVICE, …)"
}

// connect makes a pool and proves that it connects.
func (a *app) connect(ctx context.Context) (*pgxpool.Pool, error) {
	dsn, from := a.address()
	config, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, fmt.Errorf("address of the database (%s): %w", from, err)
	}
	config.ConnConfig.RuntimeParams["application_name"] = "pgcoherence"
	config.MaxConns = max(config.MaxConns, 8)

	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	if err := pool.Ping(ctx); err != nil {
		pool.Close()
		return nil, fmt.Errorf("no connection to the database (address from %s): %w", from, err)
	}
	return pool, nil
}

// In a message of pgx an address can hold its password, as a URL and as keywords and values.
var (
	urlPassword     = regexp.MustCompile(`(://[^:/@\s]+):[^@\s]*@`)
	keywordPassword = regexp.MustCompile(`(?i)(password\s*=\s*)('(?:[^'\\]|\\.)*'|\S+)`)
)

func withoutSecrets(err error) string { return mask(err.Error()) }

func mask(text string) string {
	text = urlPassword.ReplaceAllString(text, "$1:…@")
	return keywordPassword.ReplaceAllString(text, "$1…")
}

// maskDSN returns an address that can be shown.
func maskDSN(dsn string) string {
	if u, err := url.Parse(dsn); err == nil && strings.HasPrefix(u.Scheme, "postgres") {
		query := u.Query()
		if query.Has("password") {
			query.Set("password", "…")
			u.RawQuery = query.Encode()
		}
		return mask(u.String())
	}
	return mask(dsn)
}

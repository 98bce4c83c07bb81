package main

import (
	"context"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// environment is what figures were measured on. It names no machine.
type environment struct {
	Postgres string            `json:"postgres"`
	Settings map[string]string `json:"settings"`
	Kind     string            `json:"kind"` // of the server, as internal/lab/pgtest has it
	CPUs     int               `json:"cpus"`
	Go       string            `json:"go"`
	Platform string            `json:"platform"`
	Date     time.Time         `json:"date"`
}

// telling are the settings without which the figures say little.
var telling = []string{"fsync", "synchronous_commit", "full_page_writes", "shared_buffers", "autovacuum", "wal_level"}

func readEnvironment(ctx context.Context, conn *pgx.Conn, kind string) (environment, error) {
	e := environment{
		Settings: map[string]string{}, Kind: kind,
		CPUs: runtime.NumCPU(), Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH,
		Date: time.Now().UTC().Truncate(time.Second),
	}

	rows, err := conn.Query(ctx, `SELECT name, current_setting(name) FROM unnest($1::text[]) AS s (name)`,
		append([]string{"server_version"}, telling...))
	if err != nil {
		return environment{}, fmt.Errorf("environment: %w", err)
	}

	var name, value string
	if _, err := pgx.ForEachRow(rows, []any{&name, &value}, func() error {
		e.Settings[name] = value
		return nil
	}); err != nil {
		return environment{}, fmt.Errorf("environment: %w", err)
	}

	e.Postgres = e.Settings["server_version"]
	delete(e.Settings, "server_version")
	return e, nil
}

func (e environment) String() string {
	var settings []string
	for _, name := range slices.Sorted(maps.Keys(e.Settings)) {
		settings = append(settings, name+"="+e.Settings[name])
	}
	return fmt.Sprintf("Postgres %s (%s), %d CPUs, %s %s, %s\n%s", e.Postgres, e.Kind, e.CPUs, e.Go, e.Platform,
		e.Date.Format(time.RFC3339), strings.Join(settings, " "))
}

func sortedKeys(m map[string]any) []string { return slices.Sorted(maps.Keys(m)) }

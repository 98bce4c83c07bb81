package status_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
	"github.com/pgcoherence/pgcoherence/status"
)

// TestDoctorSettingsOnEveryLevel makes each setting on the role, the database, the role in the database and the whole
// server: each time it is found, with the place and the way to take it back, and gone when it has been taken back.
func TestDoctorSettingsOnEveryLevel(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	server := pgtest.NewServer(t, &pgtest.Config{Logger: quiet})
	admin, err := pgx.Connect(ctx, server.DSN(""))
	require.NoError(t, err)
	defer func() { _ = admin.Close(ctx) }()
	_, err = admin.Exec(ctx, "SET statement_timeout = 0; SET lock_timeout = 0; SET idle_session_timeout = 0")
	require.NoError(t, err)
	for _, statement := range []string{"CREATE ROLE clerk LOGIN PASSWORD 'clerk'", "CREATE DATABASE shop"} {
		_, err = admin.Exec(ctx, statement)
		require.NoError(t, err)
	}
	config, err := pgxpool.ParseConfig(server.DSN("shop"))
	require.NoError(t, err)
	config.ConnConfig.User, config.ConnConfig.Password = "clerk", "clerk"
	look := func() status.Diagnosis {
		pool, err := pgxpool.NewWithConfig(ctx, config.Copy())
		require.NoError(t, err)
		defer pool.Close()
		return status.DoctorSettings(ctx, pool, &status.DoctorConfig{Components: []string{status.ComponentBus, status.ComponentLock}})
	}

	settings := []struct {
		name, value, says string
		level             status.Level
	}{
		{"statement_timeout", "'50ms'", "statement_timeout is 50ms", status.LevelFail},
		{"statement_timeout", "'3s'", "statement_timeout is 3000ms", status.LevelWarn},
		{"lock_timeout", "'1ms'", "lock_timeout is 1ms", status.LevelWarn},
		{"idle_in_transaction_session_timeout", "'10ms'", "idle_in_transaction_session_timeout is 10ms", status.LevelWarn},
		{"idle_session_timeout", "'5s'", "idle_session_timeout is 5000ms", status.LevelWarn},
		{"session_replication_role", "replica", "session_replication_role is replica", status.LevelFail},
		{"synchronous_commit", "off", "synchronous_commit is off", status.LevelWarn},
		{"default_transaction_isolation", "'repeatable read'", "default_transaction_isolation is repeatable read", status.LevelWarn},
	}
	if server.Version() >= 170000 {
		settings = append(settings, settings[0])
		last := &settings[len(settings)-1]
		last.name, last.value, last.says, last.level = "transaction_timeout", "'1s'", "transaction_timeout is 1000ms", status.LevelWarn
	}
	levels := []struct{ set, reset, place, remedy string }{
		{"ALTER ROLE clerk SET %[1]s = %[2]s", "ALTER ROLE clerk RESET %[1]s", "set on the role clerk", "ALTER ROLE clerk RESET %[1]s."},
		{"ALTER DATABASE shop SET %[1]s = %[2]s", "ALTER DATABASE shop RESET %[1]s", "set on the database shop", "ALTER DATABASE shop RESET %[1]s, or"},
		{"ALTER ROLE clerk IN DATABASE shop SET %[1]s = %[2]s", "ALTER ROLE clerk IN DATABASE shop RESET %[1]s", "set on the role clerk in the database shop", "ALTER ROLE clerk IN DATABASE shop RESET %[1]s."},
		{"ALTER SYSTEM SET %[1]s = %[2]s", "ALTER SYSTEM RESET %[1]s", "set in the server's configuration", "Change %[1]s in the server's configuration"},
	}

	require.Equal(t, status.LevelOK, look().Worst())
	for _, s := range settings {
		for _, level := range levels {
			run := func(statement string) {
				_, err := admin.Exec(ctx, strings.NewReplacer("%[1]s", s.name, "%[2]s", s.value).Replace(statement))
				require.NoError(t, err, statement)
				_, err = admin.Exec(ctx, "SELECT pg_reload_conf()")
				require.NoError(t, err)
			}
			found := func() bool {
				return slices.ContainsFunc(look().Findings, func(f status.Finding) bool {
					return f.Level == s.level && len(f.Says) > len(s.says) && f.Says[:len(s.says)] == s.says
				})
			}
			run(level.set)
			eventually(t, found, "%s: %s", s.name, level.place) // the server reads its configuration a moment later
			for _, f := range look().Findings {
				if f.Level != status.LevelOK {
					require.Contains(t, f.Says, level.place)
					require.Contains(t, f.Hint, fmt.Sprintf(level.remedy, s.name))
				}
			}
			run(level.reset)
			eventually(t, func() bool { return look().Worst() == status.LevelOK }, "%s is taken back", s.name)
		}
	}
}

// TestDoctorOrigin: a log that was copied from elsewhere is told from one that was written here.
func TestDoctorOrigin(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, template)
	pool := db.Pool(t)
	startBus(t, pool, &bus.Config{Name: "a"})
	require.Equal(t, status.LevelOK, finding(t, status.Doctor(t.Context(), pool, nil), "origin").Level)

	copied := pgtest.New(t, template)
	there := copied.Pool(t)
	_, err := there.Exec(t.Context(), "INSERT INTO pgcoherence.epoch (server) VALUES ('7123456789012345678')")
	require.NoError(t, err)
	f := finding(t, status.Doctor(t.Context(), there, nil), "origin")
	require.Equal(t, status.LevelWarn, f.Level)
	require.Contains(t, f.Says, "a dump, a template or a copy")
	require.Contains(t, f.Hint, "exclude-table-data")
}

// TestDoctorHeadroom: what is left is compared with what a rolling deploy of the present pods takes.
func TestDoctorHeadroom(t *testing.T) {
	t.Parallel()
	p := newPatient(t)
	p.exec(t, "ALTER ROLE $role CONNECTION LIMIT 30")
	pool := p.pool(t, map[string]string{"pool_max_conns": "4"})
	f := finding(t, status.Doctor(t.Context(), pool, nil), "connections")
	require.Equal(t, status.LevelOK, f.Level, f.Says)
	require.Contains(t, f.Says, "pods more that take up to 6 each; 0 are registered")
	p.exec(t, "INSERT INTO pgcoherence.pod (id, name) SELECT gen_random_uuid(), 'web-' || i FROM generate_series(1, 40) AS i")
	f = finding(t, status.Doctor(t.Context(), pool, nil), "connections")
	require.Equal(t, status.LevelWarn, f.Level, f.Says)
	require.Contains(t, f.Says, "40 are registered, and a rolling deploy may start 10 at once")
}

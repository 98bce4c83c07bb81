package sessionstore_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
	"github.com/pgcoherence/pgcoherence/internal/lab/storetest"
	"github.com/pgcoherence/pgcoherence/sessionstore"
)

func TestMigrate(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := pgtest.New(t, nil).Pool(t)
	var dry strings.Builder
	require.NoError(t, sessionstore.Migrate(ctx, pool, &sessionstore.MigrateConfig{DryRun: &dry, Logger: quiet}))
	require.Contains(t, dry.String(), `CREATE TABLE "pgcoherence".session_user`)
	b := bus.NewLocal()
	s, err := sessionstore.New[cart](b, pool, &config{Logger: quiet})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	require.ErrorIs(t, s.Run(ctx), sessionstore.ErrSchema)
	_, err = s.Get(ctx, sessionstore.FormatToken(make([]byte, 32)))
	require.ErrorIs(t, err, sessionstore.ErrSchema)
	require.NoError(t, sessionstore.Migrate(ctx, pool, &sessionstore.MigrateConfig{Logger: quiet}))
	require.NoError(t, sessionstore.Migrate(ctx, pool, &sessionstore.MigrateConfig{Logger: quiet}))
	script, err := sessionstore.MigrationSQL(&sessionstore.MigrateConfig{Schema: "other"})
	require.NoError(t, err)
	_, err = pool.Exec(ctx, script)
	require.NoError(t, err)
	require.ErrorIs(t, sessionstore.Migrate(ctx, pool, &sessionstore.MigrateConfig{Schema: "no;"}), sessionstore.ErrConfig)
	_, err = sessionstore.MigrationSQL(&sessionstore.MigrateConfig{AppRole: "a\x00"})
	require.ErrorIs(t, err, sessionstore.ErrConfig)

	// A program of one process works with a Local bus, and its memory hears of what it writes.
	l, err := s.BeginLogin(ctx, "ann")
	require.NoError(t, err)
	token, _, err := s.Create(ctx, l, cart{}, nil)
	require.NoError(t, err)
	for range 3 {
		got, err := s.Get(ctx, token)
		require.NoError(t, err)
		got.Data.Note += "x"
		require.NoError(t, s.Save(ctx, token, got))
	}
	_, err = s.RevokeUser(ctx, "ann")
	require.NoError(t, err)
	_, err = s.Get(ctx, token)
	require.ErrorIs(t, err, sessionstore.ErrRevoked)
}

// The two roles get what they need and nothing else.
func TestRoles(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db := pgtest.New(t, template)
	admin := db.Pool(t)
	app, reader := db.Name+"_app", db.Name+"_reader"
	_, err := admin.Exec(ctx, `CREATE ROLE "`+app+`" LOGIN PASSWORD 'app'; CREATE ROLE "`+reader+`" LOGIN PASSWORD 'reader'`)
	require.NoError(t, err)
	require.NoError(t, bus.Migrate(ctx, admin, &bus.MigrateConfig{AppRole: app, Logger: quiet}))
	require.NoError(t, sessionstore.Migrate(ctx, admin, &sessionstore.MigrateConfig{AppRole: app, ReaderRole: reader, Logger: quiet}))
	as := func(role, password string) *pgxpool.Pool {
		config, err := pgxpool.ParseConfig(db.DSN)
		require.NoError(t, err)
		config.ConnConfig.User, config.ConnConfig.Password = role, password
		p, err := pgxpool.NewWithConfig(ctx, config)
		require.NoError(t, err)
		t.Cleanup(p.Close)
		return p
	}
	pool := as(app, "app")
	b, err := bus.NewPostgres(pool, storetest.QuickBus("app"))
	require.NoError(t, err)
	storetest.Background(t, b.Run)
	<-b.Ready()
	s, err := sessionstore.New(b, pool, &config{Logger: quiet, MaxPerUser: 2})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	storetest.Background(t, s.Run)
	p := &pod{store: s, bus: b, pool: pool}
	var token string
	for range 3 {
		token, _ = login(t, p, "ann", &sessionstore.CreateOptions{Issuer: "i", SID: "s"})
	}
	token, got, err := s.Rotate(ctx, token, sessionstore.Periodic(0))
	require.NoError(t, err)
	got.Data.Note = "x"
	require.NoError(t, s.Save(ctx, token, got))
	value, err := s.PutOneTime(ctx, "k", nil, nil)
	require.NoError(t, err)
	_, err = s.TakeOneTime(ctx, "k", value, "")
	require.NoError(t, err)
	_, err = s.RevokeUserExcept(ctx, token)
	require.NoError(t, err)
	_, err = s.RevokeBySID(ctx, "i", "s")
	require.NoError(t, err)
	require.NoError(t, s.Sweep(ctx))
	_, err = pool.Exec(ctx, "UPDATE pgcoherence.session_forgotten SET gen = 0")
	require.ErrorContains(t, err, "permission denied", "a generation is never forgotten")

	audit := as(reader, "reader")
	var n int
	require.NoError(t, audit.QueryRow(ctx, "SELECT count(id) FROM pgcoherence.session").Scan(&n))
	require.Equal(t, 3, n)
	for _, column := range []string{"key", "proof", "prev_key", "data", "wrapped"} {
		_, err = audit.Exec(ctx, "SELECT "+column+" FROM pgcoherence.session")
		require.ErrorContains(t, err, "permission denied", column)
	}
}

func TestExport(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	_, p := one(t, nil)
	_, first := login(t, p, "ann", &sessionstore.CreateOptions{Device: &sessionstore.Device{IP: "192.0.2.1"}, Issuer: "idp", SID: "1"})
	second, made := login(t, p, "ann", nil)
	_, err := p.Revoke(ctx, second)
	require.NoError(t, err)
	_, err = p.RevokeUser(ctx, "ann")
	require.NoError(t, err)
	_, _, err = p.CreateAnonymous(ctx, cart{}, nil)
	require.NoError(t, err)
	var text bytes.Buffer
	require.NoError(t, p.Export(ctx, &text))

	var all []sessionstore.Exported
	for dec := json.NewDecoder(&text); dec.More(); {
		var e sessionstore.Exported
		require.NoError(t, dec.Decode(&e))
		all = append(all, e)
	}

	require.Len(t, all, 3)
	require.Equal(t, first.ID, all[0].ID)
	require.Equal(t, "192.0.2.1", all[0].Device.IP)
	require.Equal(t, sessionstore.ReasonUser, all[0].RevokeReason)
	require.Equal(t, made.ID, all[1].ID)
	require.Equal(t, sessionstore.ReasonLogout, all[1].RevokeReason)
	require.False(t, all[1].RevokedAt.IsZero())
	require.Empty(t, all[2].User)
	require.True(t, all[2].RevokedAt.IsZero())
	require.True(t, all[2].AuthenticatedAt.IsZero())
}

// Export reads page by page: every session is in it once, also where two have one public id.
func TestExportPages(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	_, p := one(t, nil)
	_, err := p.pool.Exec(ctx, `INSERT INTO pgcoherence.session (key, proof, id, last_write, data, expires_at, revoked_at, user_id)
		SELECT substr(sha256(i::text::bytea), 1, 16), substr(sha256(i::text::bytea), 17, 16), lpad(to_hex(i / 3), 32, '0')::uuid, gen_random_uuid(),
			'', clock_timestamp() + interval '1 day', clock_timestamp(), i::text
		FROM generate_series(1, 1500) AS i`)
	require.NoError(t, err)
	var text bytes.Buffer
	require.NoError(t, p.Export(ctx, &text))

	users, last := map[string]bool{}, ""
	for dec := json.NewDecoder(&text); dec.More(); {
		var e sessionstore.Exported
		require.NoError(t, dec.Decode(&e))
		require.LessOrEqual(t, last, e.ID.String())
		users[e.User], last = true, e.ID.String()
	}

	require.Len(t, users, 1500)
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	_, p := one(t, nil)
	token, _ := login(t, p, "ann", nil)
	_, err := p.Get(ctx, token)
	require.NoError(t, err)
	_, err = p.Get(ctx, "bad")
	require.Error(t, err)
	_, err = p.Revoke(ctx, token)
	require.NoError(t, err)
	problems, err := testutil.CollectAndLint(p.store)
	require.NoError(t, err)
	require.Empty(t, problems)

	require.NoError(t, testutil.CollectAndCompare(p.store, strings.NewReader(`
# HELP pgcoherence_session_gets_total Sessions asked for by token, by result.
# TYPE pgcoherence_session_gets_total counter
pgcoherence_session_gets_total{result="busy",store="session"} 0
pgcoherence_session_gets_total{result="error",store="session"} 0
pgcoherence_session_gets_total{result="expired",store="session"} 0
pgcoherence_session_gets_total{result="malformed",store="session"} 1
pgcoherence_session_gets_total{result="not_found",store="session"} 0
pgcoherence_session_gets_total{result="ok",store="session"} 1
pgcoherence_session_gets_total{result="revoked",store="session"} 0
pgcoherence_session_gets_total{result="rotated",store="session"} 0
pgcoherence_session_gets_total{result="unavailable",store="session"} 0
pgcoherence_session_gets_total{result="unreadable",store="session"} 0
# HELP pgcoherence_session_created_total Sessions created.
# TYPE pgcoherence_session_created_total counter
pgcoherence_session_created_total{store="session"} 1
# HELP pgcoherence_session_revoked_total Sessions ended before their time; for the reasons user and others, users.
# TYPE pgcoherence_session_revoked_total counter
pgcoherence_session_revoked_total{reason="all",store="session"} 0
pgcoherence_session_revoked_total{reason="device",store="session"} 0
pgcoherence_session_revoked_total{reason="forget",store="session"} 0
pgcoherence_session_revoked_total{reason="limit",store="session"} 0
pgcoherence_session_revoked_total{reason="logout",store="session"} 1
pgcoherence_session_revoked_total{reason="others",store="session"} 0
pgcoherence_session_revoked_total{reason="sid",store="session"} 0
pgcoherence_session_revoked_total{reason="user",store="session"} 0
`), "pgcoherence_session_gets_total", "pgcoherence_session_created_total", "pgcoherence_session_revoked_total"))
}

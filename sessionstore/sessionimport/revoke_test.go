package sessionimport_test

import (
	"context"
	"testing"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/gorilla/securecookie"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
	"github.com/pgcoherence/pgcoherence/internal/lab/storetest"
	"github.com/pgcoherence/pgcoherence/sessionstore/gorillastore"
	"github.com/pgcoherence/pgcoherence/sessionstore/scsstore"
	"github.com/pgcoherence/pgcoherence/sessionstore/sessionimport"
)

// ender is what ends sessions, of whichever store.
type ender interface {
	RevokeUser(ctx context.Context, user string) (bus.Receipt, error)
	RevokeAll(ctx context.Context) (bus.Receipt, error)
	ForgetUser(ctx context.Context, user string) (bus.Receipt, error)
}

// ends are the ways to end the sessions of user 2, and how many of 12 sessions of 4 users are left to be imported if that
// happens before the first of them is.
var ends = map[string]struct {
	end  func(context.Context, ender) error
	left int
}{
	"RevokeUser": {func(ctx context.Context, e ender) error { _, err := e.RevokeUser(ctx, "2"); return err }, 9},
	"ForgetUser": {func(ctx context.Context, e ender) error {
		if _, err := e.RevokeUser(ctx, "2"); err != nil { // so that there is one to be forgotten
			return err
		}
		_, err := e.ForgetUser(ctx, "2")
		return err
	}, 9},
	"RevokeAll": {func(ctx context.Context, e ender) error { _, err := e.RevokeAll(ctx); return err }, 0},
}

// TestEndedMeanwhile: what is ended while an import runs, or between two, does not come alive by it: whoever took over an
// account is not let in again because the old table knows him.
func TestEndedMeanwhile(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for name, c := range ends {
		t.Run("scs/"+name, func(t *testing.T) {
			t.Parallel()
			pool := pgtest.New(t, template).Pool(t)
			for i := range 12 {
				putSCS(t, pool, "sessions", tokenOf(i), now.Add(time.Hour), now.Add(time.Hour), map[string]any{"userID": i%4 + 1})
			}
			var s *scsstore.Store
			ended := false
			_, s = newSCS(t, pool, func(_ *scs.SessionManager, cfg *scsstore.Config) {
				user := cfg.WithUser
				cfg.WithUser = func(values map[string]any) string {
					if s != nil && !ended {
						ended = true
						require.NoError(t, c.end(t.Context(), s.Sessions()))
					}
					return user(values)
				}
			})
			r, err := sessionimport.SCS(t.Context(), pool, s, nil)
			require.NoError(t, err)
			require.Equal(t, sessionimport.Result{Imported: c.left, Present: 12 - c.left}, r)
			n, err := s.Sessions().Count(t.Context(), "2")
			require.NoError(t, err)
			require.Zero(t, n)

			if c.left > 0 { // once more, as of when the first one began
				r, err = sessionimport.SCS(t.Context(), pool, s, &sessionimport.SCSConfig{Since: now.Add(-time.Minute)})
				require.NoError(t, err)
				require.Equal(t, sessionimport.Result{Present: 12}, r)
			}
		})
		t.Run("pgstore/"+name, func(t *testing.T) {
			t.Parallel()
			pool := pgtest.New(t, template).Pool(t)
			pairs := [][]byte{[]byte("0123456789abcdef0123456789abcdef"), []byte("fedcba9876543210")}
			codecs := securecookie.CodecsFromPairs(pairs...)
			for i := range 12 {
				data, err := securecookie.EncodeMulti("visit", map[any]any{"user": string(rune('1' + i%4))}, codecs...)
				require.NoError(t, err)
				_, err = pool.Exec(t.Context(), `INSERT INTO http_sessions (key, data, modified_on, expires_on)
					VALUES (convert_to(rpad($1, 52, 'A'), 'LATIN1'), convert_to($2, 'LATIN1'), now(), now() + interval '1 hour')`, string(rune('B'+i)), data)
				require.NoError(t, err)
			}
			var s *gorillastore.Store
			ended := false
			cfg := gorillastore.Config{KeyPairs: pairs, WithUser: func(values map[any]any) string {
				if !ended {
					ended = true
					require.NoError(t, c.end(t.Context(), s.Sessions()))
				}
				user, _ := values["user"].(string)
				return user
			}}
			cfg.Sessions.Logger = storetest.Quiet()
			var err error
			s, err = gorillastore.New(bus.NewLocal(), pool, &cfg)
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, s.Close()) })

			r, err := sessionimport.PGStore(t.Context(), pool, s, &sessionimport.PGStoreConfig{KeyPairs: pairs, Names: []string{"visit"}})
			require.NoError(t, err)
			require.Equal(t, sessionimport.Result{Imported: c.left, Present: 12 - c.left}, r)
			n, err := s.Sessions().Count(t.Context(), "2")
			require.NoError(t, err)
			require.Zero(t, n)
		})
	}
}

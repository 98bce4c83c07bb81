package sessionstore_test

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/lab/storetest"
	"github.com/pgcoherence/pgcoherence/internal/sqltext"
	"github.com/pgcoherence/pgcoherence/sessionstore"
)

// A session that becomes another user's while all others of its user are ended: whatever the order, it does not come alive
// when the new user's sessions are ended.
func TestRevokeOthersBesideLogin(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	_, pods := setup(t, 2, nil)
	a, b := pods[0], pods[1]
	for i := range 60 {
		mallory, bob := fmt.Sprint("m", i), fmt.Sprint("b", i)
		planted, _ := login(t, a, mallory, nil)
		l, err := a.BeginLogin(ctx, bob)
		require.NoError(t, err)
		var token string
		var rotateErr error
		var wg sync.WaitGroup
		wg.Go(func() { token, _, rotateErr = a.Rotate(ctx, planted, &sessionstore.RotateOptions{Login: l}) })
		wg.Go(func() { _, _ = b.RevokeUserExcept(ctx, planted) })
		wg.Wait()

		if rotateErr != nil {
			continue
		}

		before, _ := a.GetFresh(ctx, token)
		_, err = a.RevokeUser(ctx, bob)
		require.NoError(t, err)
		_, err = a.GetFresh(ctx, token)
		require.ErrorIs(t, err, sessionstore.ErrRevoked, "valid before: %v", before != nil)
	}

	requireOwnGenerations(t, a.pool)
}

// requireOwnGenerations checks that no number was given to two users, and that no session has one that its user may reach.
func requireOwnGenerations(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	var twice, ahead int
	require.NoError(t, pool.QueryRow(t.Context(), `SELECT count(*) FROM (
		SELECT gen FROM pgcoherence.session_user GROUP BY gen HAVING count(*) > 1) AS twice`).Scan(&twice))
	require.Zero(t, twice, "one number for two users")
	require.NoError(t, pool.QueryRow(t.Context(), `SELECT count(*) FROM pgcoherence.session AS s
		LEFT JOIN pgcoherence.session_user AS u USING (user_id)
		WHERE s.user_id IS NOT NULL AND s.revoked_at IS NULL AND (u.gen IS NULL OR s.gen > u.gen)`).Scan(&ahead))
	require.Zero(t, ahead, "a session is ahead of its user")
}

// A user id that is deleted and given again: no session, and no login that began before, opens the new account.
func TestForgetUser(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	_, pods := setup(t, 2, nil)
	a, b := pods[0], pods[1]
	for name, forget := range map[string]func(user string) error{
		"ForgetUser": func(user string) error {
			r, err := a.ForgetUser(ctx, user)
			confirmed(t, a, r, err)
			return nil
		},
		"ForgetUserTx": func(user string) error {
			r, err := a.bus.InTx(ctx, func(tx *bus.Tx) error { return a.ForgetUserTx(ctx, tx, user) })
			confirmed(t, a, r, err)
			return nil
		},
		"psql": func(user string) error {
			_, err := a.pool.Exec(ctx, "DELETE FROM pgcoherence.session_user WHERE user_id = $1", user)
			return err
		},
	} {
		for _, known := range []bool{true, false} {
			if !known && name == "psql" {
				continue // there is nothing to delete
			}
			user := fmt.Sprint(name, known)
			var tokens []string
			if known {
				token, _ := login(t, a, user, nil)
				_, err := b.Get(ctx, token)
				require.NoError(t, err)
				tokens = append(tokens, token)
			}
			underWay, err := b.BeginLogin(ctx, user)
			require.NoError(t, err)

			require.NoError(t, forget(user))
			_, _, err = b.Create(ctx, underWay, cart{}, nil)
			require.ErrorIs(t, err, sessionstore.ErrLoginEnded, "%s: a login under way", user)

			// Two of the new account's first logins at the same time are well, and no old one is.
			one, err := a.BeginLogin(ctx, user)
			require.NoError(t, err)
			two, err := b.BeginLogin(ctx, user)
			require.NoError(t, err)
			for p, l := range map[*pod]sessionstore.Login{a: one, b: two} {
				_, _, err = p.Create(ctx, l, cart{}, nil)
				require.NoError(t, err)
			}
			_, _, err = b.Create(ctx, underWay, cart{}, nil)
			require.ErrorIs(t, err, sessionstore.ErrLoginEnded)
			for _, p := range pods {
				for _, token := range tokens {
					_, err = p.GetFresh(ctx, token)
					require.ErrorIs(t, err, sessionstore.ErrNoSession, user)
					if name != "psql" {
						_, err = p.Get(ctx, token)
						require.ErrorIs(t, err, sessionstore.ErrNoSession, user)
					}
				}
			}
			n, err := a.Count(ctx, user)
			require.NoError(t, err)
			require.Equal(t, 2, n)
		}
	}
	requireOwnGenerations(t, a.pool)
}

// Forgetting beside a first login: the login either came first and is forgotten, or it is refused.
func TestForgetBesideFirstLogin(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	_, pods := setup(t, 2, nil)
	a, b := pods[0], pods[1]
	for i := range 40 {
		user := fmt.Sprint("u", i)
		l, err := a.BeginLogin(ctx, user)
		require.NoError(t, err)
		var token string
		var wg sync.WaitGroup
		end := b.ForgetUser
		if i%2 == 0 {
			end = func(ctx context.Context, _ string) (bus.Receipt, error) { return b.RevokeAll(ctx) }
		}

		wg.Go(func() { token, _, err = a.Create(ctx, l, cart{}, nil) })

		wg.Go(func() {
			if _, err := end(ctx, user); err != nil {
				t.Error(err)
			}
		})

		wg.Wait()

		if err != nil {
			require.ErrorIs(t, err, sessionstore.ErrLoginEnded)
			continue
		}

		_, err = a.GetFresh(ctx, token)
		require.ErrorIs(t, err, sessionstore.ErrNoSession)
	}
}

// After a breach nothing that was given out opens anything, and logins begin anew.
func TestRevokeAll(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	_, pods := setup(t, 2, nil)
	a, b := pods[0], pods[1]
	var tokens []string
	for i := range 5 {
		token, _ := login(t, a, fmt.Sprint("u", i), nil)
		tokens = append(tokens, token)
	}
	anonymous, _, err := a.CreateAnonymous(ctx, cart{}, nil)
	require.NoError(t, err)
	tokens = append(tokens, anonymous)
	for _, token := range tokens {
		_, err := b.Get(ctx, token)
		require.NoError(t, err)
	}
	var logins []sessionstore.Login
	for _, user := range []string{"u1", "new"} {
		l, err := b.BeginLogin(ctx, user)
		require.NoError(t, err)
		logins = append(logins, l)
	}

	r, err := a.RevokeAll(sessionstore.WithActor(ctx, "admin:7"))
	confirmed(t, a, r, err)
	for _, p := range pods {
		for _, token := range tokens {
			_, err := p.Get(ctx, token)
			require.ErrorIs(t, err, sessionstore.ErrNoSession)
		}
		for _, l := range logins {
			_, _, err := p.Create(ctx, l, cart{}, nil)
			require.ErrorIs(t, err, sessionstore.ErrLoginEnded, l.User())
		}
	}
	for _, user := range []string{"u1", "new"} {
		token, _ := login(t, b, user, nil)
		_, err = a.Get(ctx, token)
		require.NoError(t, err)
	}
	requireOwnGenerations(t, a.pool)
}

// v1 runs a statement of the version before, as its pods do while both run.
func v1(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("testdata/v1/" + name + ".sql")
	require.NoError(t, err)
	return sqltext.Render(string(text), "pgcoherence")
}

// createV1 is a login by the statements of the version before.
func createV1(t *testing.T, p *pod, user string) (token string, created bool) {
	t.Helper()
	ctx := t.Context()
	var gen int64
	require.NoError(t, p.pool.QueryRow(ctx, v1(t, "generation"), user).Scan(&gen))

	if gen == 0 {
		_, err := p.pool.Exec(ctx, v1(t, "enter_user"), user)
		require.NoError(t, err)
	}

	token = ownToken()
	_, first, second := sessionstore.KeyOf(token)
	tag, err := p.pool.Exec(ctx, v1(t, "create"), first, second, uuid.NewString(), user, gen, uuid.NewString(),
		sessionstore.Pack(nil, uuid.Nil, 1, 1, []byte(`{}`)), nil, 0, time.Hour.Microseconds(), 0, "", "", "{}", false, "logout")
	require.NoError(t, err)
	return token, tag.RowsAffected() == 1
}

// Pods of the version before work beside this one: their logins, and their ends of sessions, are ours and the reverse.
func TestBesideTheVersionBefore(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	_, p := one(t, nil)
	token, created := createV1(t, p, "ann")
	require.True(t, created, "a user that nobody knows")
	_, err := p.Get(ctx, token)
	require.NoError(t, err)
	ours, _ := login(t, p, "ann", nil)
	theirs, created := createV1(t, p, "ann")
	require.True(t, created)
	login(t, p, "bob", nil)
	bobs, created := createV1(t, p, "bob")
	require.True(t, created, "a user of ours")

	// All but one, then all, by the old statements.
	for _, kept := range []string{ours, bobs} {
		_, first, second := sessionstore.KeyOf(kept)
		var tag string
		var moved bool
		require.NoError(t, p.pool.QueryRow(ctx, v1(t, "revoke_others"), first, second).Scan(&tag, &moved))
		require.True(t, moved)
		_, err = p.GetFresh(ctx, kept)
		require.NoError(t, err)
	}
	_, err = p.GetFresh(ctx, theirs)
	require.ErrorIs(t, err, sessionstore.ErrRevoked)
	for _, user := range []string{"ann", "bob", "nobody yet"} {
		l, err := p.BeginLogin(ctx, user)
		require.NoError(t, err)
		var tag string
		require.NoError(t, p.pool.QueryRow(ctx, v1(t, "revoke_user"), user).Scan(&tag))
		_, _, err = p.Create(ctx, l, cart{}, nil)
		require.ErrorIs(t, err, sessionstore.ErrLoginEnded, user)
	}
	for _, token := range []string{ours, bobs} {
		_, err = p.GetFresh(ctx, token)
		require.ErrorIs(t, err, sessionstore.ErrRevoked)
	}

	// A user whom we have forgotten does not begin where an old session was.
	old, created := createV1(t, p, "carl")
	require.True(t, created)
	_, err = p.pool.Exec(ctx, "DELETE FROM pgcoherence.session_user WHERE user_id = 'carl'")
	require.NoError(t, err)
	createV1(t, p, "carl") // the first is refused, and the row is there then
	_, created = createV1(t, p, "carl")
	require.True(t, created)
	_, err = p.GetFresh(ctx, old)
	require.ErrorIs(t, err, sessionstore.ErrRevoked)
}

// The old statement that moves a row without looking whose it has become leaves it as it is.
func TestOldStatementMovesNobodyElsesRow(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	_, p := one(t, nil)
	planted, created := createV1(t, p, "mallory")
	require.True(t, created)
	_, created = createV1(t, p, "bob")
	require.True(t, created)
	l, err := p.BeginLogin(ctx, "bob")
	require.NoError(t, err)

	_, first, second := sessionstore.KeyOf(planted)
	var token string
	done := make(chan bool)
	_, err = p.bus.InTx(ctx, func(tx *bus.Tx) error {
		if token, _, err = p.RotateTx(ctx, tx, planted, &sessionstore.RotateOptions{Login: l}); err != nil {
			return err
		}
		var pid int
		conn, err := p.pool.Acquire(ctx)
		if err != nil {
			return err
		}
		if err := conn.QueryRow(ctx, "SELECT pg_backend_pid()").Scan(&pid); err != nil {
			return err
		}
		statement := v1(t, "revoke_others")
		go func() {
			defer conn.Release()
			var tag string
			var moved bool
			_ = conn.QueryRow(ctx, statement, first, second).Scan(&tag, &moved)
			done <- moved
		}()
		// It has found the row as mallory's, and waits for this transaction.
		for waits := false; !waits; {
			if err := p.pool.QueryRow(ctx, "SELECT count(*) > 0 FROM pg_locks WHERE pid = $1 AND NOT granted", pid).Scan(&waits); err != nil {
				return err
			}
		}
		return nil
	})
	require.NoError(t, err)
	require.False(t, <-done)
	_, err = p.GetFresh(ctx, token)
	require.NoError(t, err)
	_, err = p.RevokeUser(ctx, "bob")
	require.NoError(t, err)
	_, err = p.GetFresh(ctx, token)
	require.ErrorIs(t, err, sessionstore.ErrRevoked)
}

// A session of one user that becomes another's while all of the first one's are ended: the end comes before,
// and the session is over, or after. Nobody sees it over and then valid.
func TestChangeOfUserMeetsEnd(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	_, p := one(t, nil)
	for name, end := range map[string]func(context.Context, string) (bus.Receipt, error){"revoke": p.RevokeUser, "forget": p.ForgetUser} {
		for _, to := range []string{"aa", "zz"} { // before and after the first user's name
			user := "mallory " + name + to
			token, _ := login(t, p, user, nil)
			tx, err := p.bus.Begin(ctx)
			require.NoError(t, err)
			l, err := p.BeginLogin(ctx, to+name)
			require.NoError(t, err)
			_, _, err = p.RotateTx(ctx, tx, token, &sessionstore.RotateOptions{Login: l})
			require.NoError(t, err)

			done := make(chan error, 1)
			go func() {
				_, err := end(ctx, user)
				done <- err
			}()
			storetest.Eventually(t, func() bool {
				var waits bool
				require.NoError(t, p.pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted
					AND pid IN (SELECT pid FROM pg_stat_activity WHERE datname = current_database()))`).Scan(&waits))
				return waits
			}, "the end waits")
			require.NoError(t, tx.Commit(ctx))
			require.NoError(t, <-done)
			n, err := p.Count(ctx, to+name)
			require.NoError(t, err)
			require.Equal(t, 1, n)
		}
	}
}

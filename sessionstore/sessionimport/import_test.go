package sessionimport_test

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"encoding/gob"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/gorilla/securecookie"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
	"github.com/pgcoherence/pgcoherence/internal/lab/storetest"
	"github.com/pgcoherence/pgcoherence/sessionstore/gorillastore"
	"github.com/pgcoherence/pgcoherence/sessionstore/scsstore"
	"github.com/pgcoherence/pgcoherence/sessionstore/sessionimport"
)

// basket is a type of an application, in a session's values.
type basket struct{ Items []string }

// scs.New starts a goroutine of a store in memory, which nobody stops when that store is replaced.
func TestMain(m *testing.M) {
	gob.Register(basket{})
	goleak.VerifyTestMain(pgtest.Main(m),
		goleak.IgnoreTopFunction("github.com/alexedwards/scs/v2/memstore.(*MemStore).startCleanup"))
}

// The tables as the two stores' documentation has them.
const oldTables = `
CREATE TABLE sessions (token TEXT PRIMARY KEY, data BYTEA NOT NULL, expiry TIMESTAMPTZ NOT NULL);
CREATE INDEX sessions_expiry_idx ON sessions (expiry);
CREATE TABLE http_sessions (id BIGSERIAL PRIMARY KEY, key BYTEA, data BYTEA, created_on TIMESTAMPTZ DEFAULT CURRENT_TIMESTAMP,
    modified_on TIMESTAMPTZ, expires_on TIMESTAMPTZ);
CREATE INDEX http_sessions_expiry_idx ON http_sessions (expires_on);
CREATE INDEX http_sessions_key_idx ON http_sessions (key);
CREATE SCHEMA "Old";
CREATE TABLE "Old".sessions (LIKE sessions INCLUDING ALL)`

var template = storetest.Template("sessionimport", oldTables)

func tokenOf(i int) string {
	sum := sha256.Sum256([]byte("token " + strconv.Itoa(i)))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func hashOf(token string) string {
	sum := sha256.Sum256([]byte(token))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// jsonCodec is one that a program has chosen.
type jsonCodec struct{ scs.GobCodec }

func newSCS(t *testing.T, pool *pgxpool.Pool, change func(*scs.SessionManager, *scsstore.Config)) (*scs.SessionManager, *scsstore.Store) {
	t.Helper()
	m := scs.New()

	cfg := scsstore.Config{WithUser: func(values map[string]any) string {
		id, _ := values["userID"].(int)
		if id == 0 {
			return ""
		}
		return strconv.Itoa(id)
	}}
	cfg.Sessions.Logger = storetest.Quiet()
	if change != nil {
		change(m, &cfg)
	}

	s, err := scsstore.New(bus.NewLocal(), pool, m, &cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return m, s
}

func putSCS(t *testing.T, pool *pgxpool.Pool, table, token string, deadline, expiry time.Time, values map[string]any) {
	t.Helper()
	b, err := scs.GobCodec{}.Encode(deadline, values)
	require.NoError(t, err)
	_, err = pool.Exec(t.Context(), `INSERT INTO `+table+` VALUES ($1, $2, $3)`, token, b, expiry)
	require.NoError(t, err)
}

func TestSCS(t *testing.T) {
	t.Parallel()
	for name, mode := range map[string]struct {
		table         string
		hashed, codec bool
	}{
		"tokens": {"sessions", false, false}, "hashes": {"sessions", true, false}, "another codec and schema": {`"Old".sessions`, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool := pgtest.New(t, template).Pool(t)
			now := time.Now()
			stored := func(i int) string {
				if mode.hashed {
					return hashOf(tokenOf(i))
				}
				return tokenOf(i)
			}
			for i := range 20 {
				putSCS(t, pool, mode.table, stored(i), now.Add(2*time.Hour), now.Add(20*time.Minute),
					map[string]any{"userID": i%4 + 1, "basket": basket{[]string{"tea"}}, "i": i})
			}
			putSCS(t, pool, mode.table, stored(100), now.Add(time.Hour), now.Add(-time.Minute), map[string]any{"userID": 9})
			_, err := pool.Exec(t.Context(), `INSERT INTO `+mode.table+` VALUES ($1, 'not gob', now() + interval '1 hour')`, stored(101))
			require.NoError(t, err)
			m, s := newSCS(t, pool, func(m *scs.SessionManager, _ *scsstore.Config) {
				m.HashTokenInStore = mode.hashed
				m.IdleTimeout = 30 * time.Minute
				if mode.codec {
					m.Codec = &jsonCodec{}
				}
			})
			cfg := &sessionimport.SCSConfig{Hashed: mode.hashed, Batch: 7}
			if mode.codec {
				cfg.Table = "Old.sessions"
			}
			r, err := sessionimport.SCS(t.Context(), pool, s, cfg)
			require.NoError(t, err)
			require.Equal(t, sessionimport.Result{Imported: 20, Unreadable: 1}, r, r.String())

			ctx, err := m.Load(t.Context(), tokenOf(5))
			require.NoError(t, err)
			require.Equal(t, 2, m.GetInt(ctx, "userID"), "the cookie goes on working")
			require.Equal(t, basket{[]string{"tea"}}, m.Get(ctx, "basket"))
			require.WithinDuration(t, now.Add(2*time.Hour), m.Deadline(ctx), 10*time.Second, "the deadline is the same")
			list, err := s.Sessions().List(t.Context(), "2")
			require.NoError(t, err)
			require.Len(t, list, 5)
			require.Equal(t, 30*time.Minute, list[0].Idle)
			m.Put(ctx, "more", "data")
			require.NoError(t, m.RenewToken(ctx))
			token, _, err := m.Commit(ctx)
			require.NoError(t, err)
			ctx, err = m.Load(t.Context(), token)
			require.NoError(t, err)
			require.Equal(t, "data", m.GetString(ctx, "more"))
			require.WithinDuration(t, now.Add(2*time.Hour), m.Deadline(ctx), 10*time.Second)

			// Once more: what was changed, renewed or ended here stays so.
			_, err = s.Sessions().RevokeUser(t.Context(), "3")
			require.NoError(t, err)
			r, err = sessionimport.SCS(t.Context(), pool, s, cfg)
			require.NoError(t, err)
			require.Equal(t, sessionimport.Result{Present: 20, Unreadable: 1}, r)
			for i := range 20 {
				ctx, err := m.Load(t.Context(), tokenOf(i))
				require.NoError(t, err)
				gone := i == 5 || i%4 == 2
				require.Equal(t, gone, m.GetInt(ctx, "userID") == 0, i)
			}
		})
	}
}

func TestSCSRefusesWhatIsTooLarge(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t, template).Pool(t)
	putSCS(t, pool, "sessions", tokenOf(1), time.Now().Add(time.Hour), time.Now().Add(time.Hour),
		map[string]any{"big": strings.Repeat("x", 100<<10)})
	_, s := newSCS(t, pool, nil)
	r, err := sessionimport.SCS(t.Context(), pool, s, nil)
	require.NoError(t, err)
	require.Equal(t, sessionimport.Result{Refused: 1}, r)
}

func TestConfigErrorsNameTheField(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t, template).Pool(t)
	_, s := newSCS(t, pool, nil)
	for field, c := range map[string]sessionimport.SCSConfig{
		"Batch": {Batch: -1}, "Table": {Table: "a.b.c"}, "is no name": {Table: "a."},
	} {
		_, err := sessionimport.SCS(t.Context(), pool, s, &c)
		require.ErrorIs(t, err, sessionimport.ErrConfig)
		require.ErrorContains(t, err, field)
	}

	_, err := sessionimport.SCS(t.Context(), pool, s, &sessionimport.SCSConfig{Table: `x"; DROP TABLE sessions; --`})
	require.ErrorContains(t, err, "does not exist")

	key := make([]byte, 32)
	for field, c := range map[string]sessionimport.PGStoreConfig{
		"KeyPairs": {Names: []string{"a"}}, "Names": {KeyPairs: [][]byte{key}},
		"Batch": {Names: []string{"a"}, KeyPairs: [][]byte{key}, Batch: -1},
	} {
		_, err := sessionimport.PGStore(t.Context(), pool, nil, &c)
		require.ErrorIs(t, err, sessionimport.ErrConfig)
		require.ErrorContains(t, err, field)
	}
}

func TestPGStore(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t, template).Pool(t)
	pairs := [][]byte{[]byte("0123456789abcdef0123456789abcdef"), []byte("fedcba9876543210")}
	codecs := securecookie.CodecsFromPairs(pairs...)
	ids := make([]string, 12)
	put := func(id, name string, values map[any]any, left time.Duration) {
		data, err := securecookie.EncodeMulti(name, values, codecs...)
		require.NoError(t, err)
		_, err = pool.Exec(t.Context(), `INSERT INTO http_sessions (key, data, modified_on, expires_on)
			VALUES (convert_to($1, 'LATIN1'), convert_to($2, 'LATIN1'), now(), now() + $3::bigint * interval '1 microsecond')`, id, data, left.Microseconds())
		require.NoError(t, err)
	}
	for i := range ids {
		// As pgstore makes them.
		ids[i] = strings.TrimRight(base32.StdEncoding.EncodeToString(securecookie.GenerateRandomKey(32)), "=")
		name := "visit"
		if i%3 == 0 {
			name = "other"
		}
		put(ids[i], name, map[any]any{"user": "ann", "i": i, 7: basket{[]string{"tea"}}, "old": true}, time.Hour)
	}
	for _, i := range []int{1, 2} { // the key is not unique: the newer row counts
		put(ids[i], "visit", map[any]any{"user": "ann", "i": i, 7: basket{[]string{"tea"}}}, time.Hour)
	}
	put(strings.Repeat("A", 52), "visit", map[any]any{"user": "eve"}, -time.Hour)
	put(strings.Repeat("B", 52), "unheard of", map[any]any{"user": "eve"}, time.Hour)
	put("short", "visit", map[any]any{"user": "eve"}, time.Hour)

	cfg := gorillastore.Config{KeyPairs: pairs, WithUser: func(values map[any]any) string {
		user, _ := values["user"].(string)
		return user
	}}
	cfg.Sessions.Logger = storetest.Quiet()
	s, err := gorillastore.New(bus.NewLocal(), pool, &cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	from := &sessionimport.PGStoreConfig{KeyPairs: pairs, Names: []string{"visit", "other"}, Batch: 5}
	r, err := sessionimport.PGStore(t.Context(), pool, s, from)
	require.NoError(t, err)
	require.Equal(t, sessionimport.Result{Imported: 12, Present: 1, Unreadable: 1, Refused: 1}, r, r.String())

	request := func(i int, name string) *http.Request {
		value, err := securecookie.EncodeMulti(name, ids[i], codecs...)
		require.NoError(t, err)
		request := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
		request.AddCookie(&http.Cookie{Name: name, Value: value})
		return request
	}
	session, err := s.Get(request(1, "visit"), "visit")
	require.NoError(t, err)
	require.False(t, session.IsNew, "the cookie goes on working")
	require.Equal(t, basket{[]string{"tea"}}, session.Values[7])
	require.Nil(t, session.Values["old"])
	other, err := s.Get(request(3, "other"), "other")
	require.NoError(t, err)
	require.Equal(t, "ann", other.Values["user"])
	list, err := s.Sessions().List(t.Context(), "ann")
	require.NoError(t, err)
	require.Len(t, list, 12)
	require.WithinDuration(t, time.Now().Add(time.Hour), list[0].ExpiresAt, time.Minute)

	// It is saved, and ended, as any other.
	session.Values["more"] = "data"
	w := httptest.NewRecorder()
	require.NoError(t, session.Save(request(1, "visit"), w))
	session, err = s.Get(request(1, "visit"), "visit")
	require.NoError(t, err)
	require.Equal(t, "data", session.Values["more"])
	session.Options.MaxAge = -1
	require.NoError(t, session.Save(request(1, "visit"), httptest.NewRecorder()))
	r, err = sessionimport.PGStore(t.Context(), pool, s, from)
	require.NoError(t, err)
	require.Equal(t, sessionimport.Result{Present: 13, Unreadable: 1, Refused: 1}, r)
	session, err = s.Get(request(1, "visit"), "visit")
	require.NoError(t, err)
	require.True(t, session.IsNew, "what was ended is not imported again")
}

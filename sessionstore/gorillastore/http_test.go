package gorillastore_test

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/sessions"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
	"github.com/pgcoherence/pgcoherence/internal/lab/storetest"
	"github.com/pgcoherence/pgcoherence/sessionstore"
	"github.com/pgcoherence/pgcoherence/sessionstore/gorillastore"
)

func TestLoginHereReadThereLogoutElsewhere(t *testing.T) {
	t.Parallel()
	_, pods := setup(t, 3, nil)
	b := &storetest.Browser{T: t}
	require.Equal(t, true, b.Fine(pods[0], "").Values["new"])
	require.Nil(t, b.Cookie, "nothing is stored until it is saved")
	b.Fine(pods[0], "put:user=ann put:note=hello save")
	require.Len(t, b.Cookie.Value, 43)
	for _, p := range pods {
		a := b.Fine(p, "")
		require.Equal(t, "ann", a.Values["user"])
		require.Equal(t, false, a.Values["new"])
	}
	b.Fine(pods[1], "put:note=changed save")
	storetest.Eventually(t, func() bool { return b.Fine(pods[2], "").Values["note"] == "changed" }, "the change arrives")
	list, err := pods[2].Sessions().List(t.Context(), "ann")
	require.NoError(t, err)
	require.Len(t, list, 1)

	stolen := b.Copied()
	a := b.Fine(pods[0], "age:-1s save")
	require.Negative(t, a.Set.MaxAge)
	for _, p := range pods {
		storetest.Eventually(t, func() bool { return stolen.Copied().Fine(p, "").Values["user"] == nil }, "the logout arrives")
	}
	require.Equal(t, int64(1), pods[0].Stats().Ended)
}

func TestRevokeUserConfirmed(t *testing.T) {
	t.Parallel()
	_, pods := setup(t, 2, nil)
	b, other := &storetest.Browser{T: t}, &storetest.Browser{T: t}
	b.Fine(pods[0], "put:user=ann save")
	other.Fine(pods[0], "put:user=bob save")

	for _, p := range pods {
		require.Equal(t, "ann", b.Fine(p, "").Values["user"])
	}

	receipt, err := pods[1].Sessions().RevokeUser(t.Context(), "ann")
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()

	require.NoError(t, pods[1].bus.Confirm(ctx, receipt))

	for _, p := range pods {
		require.Nil(t, b.Fine(p, "").Values["user"])
		require.Equal(t, "bob", other.Fine(p, "").Values["user"])
	}
}

func TestSaveInFlightDoesNotResurrect(t *testing.T) {
	t.Parallel()
	_, pods := setup(t, 2, nil)
	for name, end := range map[string]func(user string, b *storetest.Browser){
		"logout here":  func(_ string, b *storetest.Browser) { b.Fine(pods[0], "age:-1s save") },
		"logout there": func(_ string, b *storetest.Browser) { b.Fine(pods[1], "age:-1s save") },
		"revoke user": func(user string, _ *storetest.Browser) {
			_, err := pods[1].Sessions().RevokeUser(t.Context(), user)
			require.NoError(t, err)
		},
	} {
		for what, after := range map[string]string{
			"put": "put:note=late save", "renew": "renew save", "renew and put": "renew put:note=late save",
			"twice": "put:note=late save put:note=later save", "chosen": "choose:" + strings.Repeat("A", 43) + " put:note=late save",
			"another login": "begin:eve put:user=eve save",
		} {
			user := strings.ReplaceAll(name+what, " ", "-")
			b := &storetest.Browser{T: t}
			b.Fine(pods[0], "put:user="+user+" save")
			slow := b.Copied()
			letGo := slow.SendSlow(pods[0], "", after)
			end(user, b.Copied())
			refused := pods[0].Stats().Refused
			a := letGo()
			require.Equal(t, http.StatusOK, a.Status, "%s, %s: %s", name, what, a.Text)
			require.Greater(t, pods[0].Stats().Refused, refused, "%s, %s", name, what)
			require.Nil(t, a.Set, "the cookie of the browser may be a later one: %s, %s", name, what)

			for _, p := range pods {
				storetest.Eventually(t, func() bool { return b.Copied().Fine(p, "").Values["user"] == nil }, name+", "+what)
			}

			for _, who := range []string{user, "eve"} {
				n, err := pods[0].Sessions().Count(t.Context(), who)
				require.NoError(t, err)
				require.Zero(t, n, "%s, %s", name, what)
			}
		}
	}
}

// gorilla has no way to replace a token (gorilla/sessions#11); here a login does, and an empty ID.
func TestTokenIsReplaced(t *testing.T) {
	t.Parallel()
	_, pods := setup(t, 2, nil)
	b := &storetest.Browser{T: t}
	b.Fine(pods[0], "put:note=kept age:10m save")
	planted := b.Copied()
	before := rowOf(t, pods[0], b)
	b.Fine(pods[1], "put:user=ann age:2h save")
	require.NotEqual(t, planted.Cookie.Value, b.Cookie.Value)
	require.Nil(t, planted.Copied().Fine(pods[1], "").Values["note"], "who planted the token has nothing of the login")
	storetest.Eventually(t, func() bool { return planted.Copied().Fine(pods[0], "").Values["note"] == nil }, "on no pod")
	after := rowOf(t, pods[0], b)
	require.Equal(t, before.ID, after.ID)
	require.Equal(t, "ann", after.User)
	require.Greater(t, after.UntilDeadline(), time.Hour, "a login begins anew")
	require.Equal(t, "kept", b.Fine(pods[0], "").Values["note"])

	// On demand: same session, same deadline.
	old := b.Copied()
	b.Fine(pods[0], "age:20h renew save")
	require.NotEqual(t, old.Cookie.Value, b.Cookie.Value)
	require.Nil(t, old.Copied().Fine(pods[0], "").Values["user"])
	renewed := rowOf(t, pods[0], b)
	require.Equal(t, before.ID, renewed.ID)
	require.LessOrEqual(t, renewed.UntilDeadline(), 2*time.Hour)
	require.LessOrEqual(t, b.Cookie.MaxAge, int((2 * time.Hour).Seconds()), "a cookie does not outlive its session")
	require.Equal(t, int64(1), pods[0].Stats().Renewed)

	// ID and values replaced at once.
	old = b.Copied()
	b.Fine(pods[0], "renew replace:note=fresh save")
	require.Equal(t, "fresh", b.Fine(pods[1], "").Values["note"])
	require.Nil(t, old.Copied().Fine(pods[0], "").Values["note"])
	n, err := pods[0].Sessions().Count(t.Context(), "ann")
	require.NoError(t, err)
	require.Zero(t, n)
}

func TestValuesReplacedAsAWhole(t *testing.T) {
	t.Parallel()
	_, pods := setup(t, 1, nil)
	b := &storetest.Browser{T: t}
	b.Fine(pods[0], "put:a=1 save")
	id := rowOf(t, pods[0], b).ID
	b.Fine(pods[0], "replace:b=2 save")
	a := b.Fine(pods[0], "")
	require.Nil(t, a.Values["a"])
	require.Equal(t, "2", a.Values["b"])
	require.Equal(t, id, rowOf(t, pods[0], b).ID)
	b.Fine(pods[0], "replace:user=ann save")
	require.Equal(t, "ann", rowOf(t, pods[0], b).User)
}

func TestSavedTwiceInOneRequest(t *testing.T) {
	t.Parallel()
	_, pods := setup(t, 1, nil)
	b := &storetest.Browser{T: t}
	b.Fine(pods[0], "put:a=1 save put:a=2 save saveall")
	require.Equal(t, "2", b.Fine(pods[0], "").Values["a"])
	var n int
	require.NoError(t, pods[0].pool.QueryRow(t.Context(), `SELECT count(*) FROM pgcoherence.session`).Scan(&n))
	require.Equal(t, 1, n)

	// After a logout in the same request it is another session.
	old := b.Copied()
	b.Fine(pods[0], "age:-1s save age:1h put:note=bye save")
	require.Equal(t, "bye", b.Fine(pods[0], "").Values["note"])
	require.NotEqual(t, old.Cookie.Value, b.Cookie.Value)
	require.Nil(t, old.Fine(pods[0], "").Values["a"])
}

func TestLoginBegunBeforeRevokeUserDoesNotCount(t *testing.T) {
	t.Parallel()
	_, pods := setup(t, 2, nil)
	for _, first := range []string{"", "put:note=there save"} { // without a session before, and with one
		b := &storetest.Browser{T: t}
		if first != "" {
			b.Fine(pods[0], first)
		}

		letGo := b.SendSlow(pods[0], "begin:ann", "put:user=ann save")
		_, err := pods[1].Sessions().RevokeUser(t.Context(), "ann")
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, letGo().Status)
		require.Nil(t, b.Fine(pods[1], "").Values["user"])
		n, err := pods[0].Sessions().Count(t.Context(), "ann")
		require.NoError(t, err)
		require.Zero(t, n)
	}

	b := &storetest.Browser{T: t}
	b.Fine(pods[0], "begin:ann save")
	b.Fine(pods[1], "put:user=ann save")
	require.Equal(t, "ann", b.Fine(pods[0], "").Values["user"])
	require.Equal(t, "ann", rowOf(t, pods[0], b).User)
	version := rowOf(t, pods[0], b).Version
	b.Fine(pods[0], "save")
	require.Equal(t, version, rowOf(t, pods[0], b).Version, "the login is used up")
}

func TestUnchangedIsNotWritten(t *testing.T) {
	t.Parallel()
	_, pods := setup(t, 2, nil)
	b := &storetest.Browser{T: t}
	b.Fine(pods[0], "put:a=1 put:b=2 put:c=3 save")
	version := rowOf(t, pods[0], b).Version

	for i := range 10 {
		b.Fine(pods[i%2], "save")
	}

	require.Equal(t, version, rowOf(t, pods[0], b).Version)
	letGo := b.Copied().SendSlow(pods[0], "", "save")
	b.Fine(pods[1], "put:a=new save")
	letGo()
	require.Equal(t, "new", b.Fine(pods[1], "").Values["a"])
	require.Equal(t, version+1, rowOf(t, pods[0], b).Version)
}

func TestFlashes(t *testing.T) {
	t.Parallel()
	_, pods := setup(t, 2, nil)
	b := &storetest.Browser{T: t}
	b.Fine(pods[0], "flash:one flash:two save")
	require.Equal(t, "[one two]", b.Fine(pods[0], "flashes remove:nothing save").Values["flashes"])
	storetest.Eventually(t, func() bool { return b.Fine(pods[1], "").Values["_flash"] == nil }, "they are gone everywhere")
}

func TestCookiesThatAreNoSession(t *testing.T) {
	t.Parallel()
	_, pods := setup(t, 1, nil)
	p := pods[0]
	for _, value := range []string{"", "x", strings.Repeat("A", 43), strings.Repeat("x", 3000), strings.Repeat("A", 52), "../../etc/passwd"} {
		b := &storetest.Browser{T: t, Cookie: &http.Cookie{Name: cookieName, Value: value}}
		require.Equal(t, true, b.Fine(p, "").Values["new"])
		b.Fine(p, "put:a=1 save")
		require.NotEqual(t, value, b.Cookie.Value, "an ID is never taken over from outside")
		require.Equal(t, "1", b.Fine(p, "").Values["a"])
	}

	// A token under another name.
	b := &storetest.Browser{T: t}
	b.Fine(p, "put:admin=yes save")
	other := &storetest.Browser{T: t, Cookie: &http.Cookie{Name: "other", Value: b.Cookie.Value}, Query: "name=other"}
	require.Nil(t, other.Fine(p, "").Values["admin"])
}

func TestOptionsOfOneSession(t *testing.T) {
	t.Parallel()
	defaults := &sessions.Options{Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode}
	_, pods := setup(t, 1, func(c *gorillastore.Config) { c.Options = defaults })
	b := &storetest.Browser{T: t}
	a := b.Fine(pods[0], "put:a=1 path:/shop age:90m save")
	require.Equal(t, "/shop", a.Set.Path)
	require.InDelta(t, 5400, a.Set.MaxAge, 1)
	require.Equal(t, http.SameSiteStrictMode, a.Set.SameSite)
	require.True(t, a.Set.HttpOnly)
	require.LessOrEqual(t, rowOf(t, pods[0], b).UntilDeadline(), 90*time.Minute)
	other := &storetest.Browser{T: t}
	a = other.Fine(pods[0], "put:a=1 save")
	require.Equal(t, "/", a.Set.Path)
	require.Zero(t, a.Set.MaxAge)
	require.Greater(t, rowOf(t, pods[0], other).UntilDeadline(), 11*time.Hour)
	require.Equal(t, "/", defaults.Path)
}

func TestSecureCookies(t *testing.T) {
	t.Parallel()
	key := bytes.Repeat([]byte{7}, 32)
	db, pods := setup(t, 1, func(c *gorillastore.Config) { c.KeyPairs = [][]byte{key, bytes.Repeat([]byte{8}, 32)} })
	b := &storetest.Browser{T: t}
	b.Fine(pods[0], "put:a=1 save")
	require.Greater(t, len(b.Cookie.Value), 60)
	require.Equal(t, "1", b.Fine(pods[0], "").Values["a"])

	// New keys, the old ones behind.
	rotated := newPod(t, db, "r", func(c *gorillastore.Config) {
		c.KeyPairs = [][]byte{bytes.Repeat([]byte{9}, 32), nil, key, bytes.Repeat([]byte{8}, 32)}
	})
	require.Equal(t, "1", b.Fine(rotated, "").Values["a"])

	// Other keys: no session, and no error.
	foreign := newPod(t, db, "f", func(c *gorillastore.Config) { c.KeyPairs = [][]byte{bytes.Repeat([]byte{1}, 32)} })
	require.Equal(t, true, b.Copied().Fine(foreign, "").Values["new"])

	// The token alone is not enough where signatures are asked for.
	got, err := pods[0].Sessions().List(t.Context(), "nobody")
	require.NoError(t, err)
	require.Empty(t, got)
	plain := newPod(t, db, "p", nil)
	bare := &storetest.Browser{T: t}
	bare.Fine(plain, "put:a=2 save")
	require.Equal(t, true, bare.Copied().Fine(pods[0], "").Values["new"])
}

func TestDataOverTheLimit(t *testing.T) {
	t.Parallel()
	_, pods := setup(t, 1, nil)
	b := &storetest.Browser{T: t}
	b.Fine(pods[0], "put:a=small save")
	a := b.Copied().Do(pods[0], "big:a save")
	require.Equal(t, http.StatusTeapot, a.Status)
	require.Contains(t, a.Text, sessionstore.ErrTooLarge.Error())
	require.Equal(t, "small", b.Fine(pods[0], "").Values["a"])
	require.Equal(t, http.StatusTeapot, (&storetest.Browser{T: t}).Do(pods[0], "big:a save").Status)
	require.Equal(t, http.StatusTeapot, b.Copied().Do(pods[0], "big:a put:user=ann save").Status)
	require.Equal(t, "small", b.Fine(pods[0], "").Values["a"], "a login that cannot be stored leaves the old token as it is")
}

// What another version of the program has written is trouble: the user is logged in, and keeps the cookie.
func TestUnreadableIsTrouble(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]string{
		"codec version": `set_byte(data, 1, 99)`, "name": `set_byte(data, 2, 255)`, "values": `substr(data, 1, 12)`, "envelope": `'\x63'`,
	} {
		db, pods := setup(t, 1, nil)
		b := &storetest.Browser{T: t}
		b.Fine(pods[0], "put:user=ann save")
		_, err := pods[0].pool.Exec(t.Context(), `UPDATE pgcoherence.session SET data = `+damage)
		require.NoError(t, err)
		p := newPod(t, db, "z", nil)
		cookie := b.Cookie.Value
		require.GreaterOrEqual(t, b.Do(p, "").Status, http.StatusInternalServerError, name)
		require.Equal(t, cookie, b.Cookie.Value, name)
	}
}

func TestConcurrentSaves(t *testing.T) {
	t.Parallel()
	_, pods := setup(t, 3, func(c *gorillastore.Config) {
		c.SaveTimeout, c.Sessions.LookupTimeout = time.Minute, time.Minute // whoever comes last waits for all, on a busy machine for long
	})
	b := &storetest.Browser{T: t}
	b.Fine(pods[0], "put:user=ann save")
	errs := make(chan error, 60)
	var all sync.WaitGroup
	for i := range cap(errs) {
		all.Go(func() {
			a, err := b.Copied().Try(t.Context(), pods[i%len(pods)], "put:note="+strconv.Itoa(i)+" save")
			if err == nil && a.Status != http.StatusOK {
				err = fmt.Errorf("status %d", a.Status)
			}
			errs <- err
		})
	}

	all.Wait()
	close(errs)

	for err := range errs {
		require.NoError(t, err)
	}

	values, err := rowOf(t, pods[0], b).Data.Values()
	require.NoError(t, err)
	require.NotNil(t, values["note"])

	for _, p := range pods {
		storetest.Eventually(t, func() bool { return b.Fine(p, "").Values["note"] == values["note"] }, "all agree on the last")
	}
}

func TestDatabaseAway(t *testing.T) {
	t.Parallel()
	pgtest.RequireBinaries(t)
	server := pgtest.NewServer(t, nil)
	require.NoError(t, template.Make(t.Context(), server.DSN("")))
	p := newPod(t, &pgtest.DB{DSN: server.DSN(""), Server: server}, "own", nil)
	b := &storetest.Browser{T: t}
	b.Fine(p, "put:user=ann save")
	require.NoError(t, server.StopImmediate(t.Context()))

	storetest.Eventually(t, func() bool {
		a := b.Copied().Do(p, "")
		if a.Status == http.StatusOK {
			require.Equal(t, "ann", a.Values["user"])
		}
		return a.Status == http.StatusServiceUnavailable
	}, "it becomes an error")

	careless := b.Copied()
	careless.Query = "careless=1"
	require.Equal(t, http.StatusTeapot, careless.Do(p, "put:a=1 save").Status, "an outage replaces nobody's session")
	require.NoError(t, server.Start(t.Context()))
	storetest.Eventually(t, func() bool {
		a := b.Copied().Do(p, "")
		return a.Status == http.StatusOK && a.Values["user"] == "ann"
	}, "it is back")
}

// A MaxAge that stands for ever is taken: no session ends at once, and no save fails.
func TestForever(t *testing.T) {
	t.Parallel()
	for _, age := range []int{math.MaxInt, math.MaxInt32, math.MaxInt64 / int(time.Second), math.MaxInt64/int(time.Second) + 1} {
		_, pods := setup(t, 1, func(c *gorillastore.Config) {
			c.Options, c.SaveTimeout = &sessions.Options{Path: "/", MaxAge: age}, math.MaxInt64
		})
		b := &storetest.Browser{T: t}
		b.Fine(pods[0], "put:note=1 save")
		require.Positive(t, b.Cookie.MaxAge)
		b.Fine(pods[0], "put:user=ann save")
		require.Equal(t, "1", b.Fine(pods[0], "").Values["note"], age)
	}
}

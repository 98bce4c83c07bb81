package scsstore_test

import (
	"context"
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/internal/lab/storetest"
	"github.com/pgcoherence/pgcoherence/sessionstore"
	"github.com/pgcoherence/pgcoherence/sessionstore/scsstore"
)

// inModes runs a test with scs' own hashing off and on.
func inModes(t *testing.T, test func(t *testing.T, mode func(*scs.SessionManager))) {
	t.Helper()
	for name, mode := range modes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, mode)
		})
	}
}

// version of the session's row, and when it was last used.
func rowOf(t *testing.T, p *pod, b *storetest.Browser) *sessionstore.Session[scsstore.Data] {
	t.Helper()
	got, err := p.store.Sessions().GetFresh(t.Context(), p.store.Token(b.Cookie.Value))
	require.NoError(t, err)
	return got
}

func TestLoginHereReadThereLogoutElsewhere(t *testing.T) {
	t.Parallel()
	inModes(t, func(t *testing.T, mode func(*scs.SessionManager)) {
		_, pods := setup(t, options{pods: 3, manager: mode})
		b := &storetest.Browser{T: t}
		b.Fine(pods[0], "renew put:user=ann put:note=hello")
		for _, p := range pods {
			require.Equal(t, "ann", b.Fine(p, "").Values["user"])
		}
		b.Fine(pods[1], "put:note=changed")
		storetest.Eventually(t, func() bool { return b.Fine(pods[2], "").Values["note"] == "changed" }, "the change arrives")
		list, err := pods[2].store.Sessions().List(t.Context(), "ann")
		require.NoError(t, err)
		require.Len(t, list, 1)

		stolen := b.Copied()
		b.Fine(pods[0], "destroy")
		require.Nil(t, b.Cookie)
		require.Nil(t, stolen.Fine(pods[0], "").Values["user"])
		for _, p := range pods[1:] {
			storetest.Eventually(t, func() bool { return stolen.Copied().Fine(p, "").Values["user"] == nil }, "the logout arrives")
		}
	})
}

func TestRevokeUserEndsAllSessionsOnAllPods(t *testing.T) {
	t.Parallel()
	inModes(t, func(t *testing.T, mode func(*scs.SessionManager)) {
		_, pods := setup(t, options{pods: 2, manager: mode})
		ann1, ann2, bob := &storetest.Browser{T: t}, &storetest.Browser{T: t}, &storetest.Browser{T: t}
		ann1.Fine(pods[0], "put:user=ann")
		ann2.Fine(pods[1], "renew put:user=ann")
		bob.Fine(pods[0], "put:user=bob")
		for _, b := range []*storetest.Browser{ann1, ann2, bob} {
			for _, p := range pods {
				require.NotNil(t, b.Fine(p, "").Values["user"])
			}
		}
		list, err := pods[0].store.Sessions().List(t.Context(), "ann")
		require.NoError(t, err)
		require.Len(t, list, 2)

		receipt, err := pods[0].store.Sessions().RevokeUser(t.Context(), "ann")
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		require.NoError(t, pods[0].bus.Confirm(ctx, receipt))
		for _, p := range pods { // confirmed: at once
			require.Nil(t, ann1.Copied().Fine(p, "").Values["user"])
			require.Nil(t, ann2.Copied().Fine(p, "").Values["user"])
			require.Equal(t, "bob", bob.Fine(p, "").Values["user"])
		}
		// A login after it is a new beginning.
		ann1.Fine(pods[0], "renew put:user=ann")
		require.Equal(t, "ann", ann1.Fine(pods[1], "").Values["user"])
	})
}

// The trap of every store that upserts: a slow request stores the session that was ended meanwhile.
func TestCommitInFlightDoesNotResurrect(t *testing.T) {
	t.Parallel()
	inModes(t, func(t *testing.T, mode func(*scs.SessionManager)) {
		_, pods := setup(t, options{pods: 2, manager: func(m *scs.SessionManager) {
			mode(m)
			m.IdleTimeout = time.Hour // scs then commits after every request
		}})
		for name, end := range map[string]func(t *testing.T, user string, b *storetest.Browser){
			"logout here":  func(_ *testing.T, _ string, b *storetest.Browser) { b.Fine(pods[0], "destroy") },
			"logout there": func(_ *testing.T, _ string, b *storetest.Browser) { b.Fine(pods[1], "destroy") },
			"revoke user": func(t *testing.T, user string, _ *storetest.Browser) {
				_, err := pods[1].store.Sessions().RevokeUser(t.Context(), user)
				require.NoError(t, err)
			},
			"revoke by id": func(t *testing.T, user string, _ *storetest.Browser) {
				list, err := pods[1].store.Sessions().List(t.Context(), user)
				require.NoError(t, err)
				require.Len(t, list, 1)
				_, err = pods[1].store.Sessions().RevokeByID(t.Context(), user, list[0].ID)
				require.NoError(t, err)
			},
		} {
			for what, after := range map[string]string{
				"put": "put:note=late", "renew": "renew", "renew and put": "renew put:note=late", "deadline": "deadline:2h", "nothing": "",
			} {
				t.Run(name+", then "+what, func(t *testing.T) {
					user := strings.ReplaceAll(name+"-"+what, " ", "-")
					b := &storetest.Browser{T: t}
					b.Fine(pods[0], "renew put:user="+user)
					slow := b.Copied()
					letGo := slow.SendSlow(pods[0], "", after)
					end(t, user, b.Copied())
					refused := pods[0].store.Stats().Refused
					a := letGo()
					require.Equal(t, http.StatusOK, a.Status, "never an error page: %s", a.Text)

					if what != "nothing" { // which may be a use that memory has noted, and the database then ignores
						require.Equal(t, refused+1, pods[0].store.Stats().Refused)
					}

					for _, p := range pods {
						storetest.Eventually(t, func() bool { return b.Copied().Fine(p, "").Values["user"] == nil }, "the old token is dead")
						require.Nil(t, slow.Copied().Fine(p, "").Values["user"], "so is a new one")
					}

					n, err := pods[0].store.Sessions().Count(t.Context(), user)
					require.NoError(t, err)
					require.Zero(t, n)
				})
			}
		}
	})
}

// A logout that has loaded the session wins over a renewal: before its first half, between the two, and after both.
func TestLogoutMeetsRenewal(t *testing.T) {
	t.Parallel()
	inModes(t, func(t *testing.T, mode func(*scs.SessionManager)) {
		_, pods := setup(t, options{pods: 2, manager: mode})
		for name, halves := range map[string][2]string{"before": {"", "renew"}, "between": {"renew", ""}} {
			b := &storetest.Browser{T: t}
			b.Fine(pods[0], "renew put:user=ann")
			renewing, leaving := b.Copied(), b.Copied()
			leave := leaving.SendSlow(pods[1], "", "destroy")
			renew := renewing.SendSlow(pods[0], halves[0], halves[1])
			require.Equal(t, http.StatusOK, leave().Status)
			require.Equal(t, http.StatusOK, renew().Status)
			storetest.Eventually(t, func() bool { return renewing.Copied().Fine(pods[0], "").Values["user"] == nil }, name)
		}

		b := &storetest.Browser{T: t}
		b.Fine(pods[0], "renew put:user=ann")
		leaving := b.Copied()
		leave := leaving.SendSlow(pods[1], "", "destroy")
		b.Fine(pods[0], "renew")
		require.Equal(t, "ann", b.Fine(pods[0], "").Values["user"])
		leave()
		storetest.Eventually(t, func() bool { return b.Copied().Fine(pods[0], "").Values["user"] == nil }, "the continuation is ended")
	})
}

func TestRenewTokenKeepsWhatItMust(t *testing.T) {
	t.Parallel()
	inModes(t, func(t *testing.T, mode func(*scs.SessionManager)) {
		_, pods := setup(t, options{pods: 2, manager: mode})
		b := &storetest.Browser{T: t}
		b.Fine(pods[0], "renew put:user=ann put:note=kept deadline:90m")
		before := rowOf(t, pods[0], b)
		old := b.Copied()

		for range 3 {
			b.Fine(pods[1], "renew")
		}

		after := rowOf(t, pods[0], b)
		require.Equal(t, before.ID, after.ID)
		require.Equal(t, "ann", after.User)
		require.WithinDuration(t, before.ExpiresAt, after.ExpiresAt, 5*time.Second, "a Lifetime later it would be a day")
		require.LessOrEqual(t, after.UntilDeadline(), 90*time.Minute)
		require.NotEqual(t, old.Cookie.Value, b.Cookie.Value)
		storetest.Eventually(t, func() bool { return old.Copied().Fine(pods[0], "").Values["user"] == nil }, "the old token is refused")
		require.Equal(t, "kept", b.Fine(pods[0], "").Values["note"])

		// In the same request SetDeadline shortens.
		b.Fine(pods[0], "renew deadline:20m")
		require.LessOrEqual(t, rowOf(t, pods[0], b).UntilDeadline(), 20*time.Minute)
		b.Fine(pods[0], "renew deadline:5h")
		require.LessOrEqual(t, rowOf(t, pods[0], b).UntilDeadline(), 20*time.Minute)

		// A login begins anew.
		b.Fine(pods[0], "renew put:user=bob")
		require.Greater(t, rowOf(t, pods[0], b).UntilDeadline(), 23*time.Hour)

		for user, want := range map[string]int{"ann": 0, "bob": 1} {
			n, err := pods[0].store.Sessions().Count(t.Context(), user)
			require.NoError(t, err)
			require.Equal(t, want, n, user)
		}

		// A session that is no user's any more is nobody's after its token has changed.
		b.Fine(pods[0], "renew remove:user")
		require.Empty(t, rowOf(t, pods[0], b).User)
		require.Equal(t, "kept", b.Fine(pods[1], "").Values["note"])
	})
}

func TestSetDeadline(t *testing.T) {
	t.Parallel()
	_, pods := setup(t, options{pods: 2})
	b := &storetest.Browser{T: t}
	b.Fine(pods[0], "put:user=ann")
	b.Fine(pods[0], "deadline:72h")
	require.Greater(t, rowOf(t, pods[0], b).UntilDeadline(), 71*time.Hour)
	require.WithinDuration(t, time.Now().Add(72*time.Hour), deadlineOf(t, b.Fine(pods[1], "")), time.Minute)
	b.Fine(pods[1], "deadline:1h")
	require.LessOrEqual(t, rowOf(t, pods[0], b).UntilDeadline(), time.Hour)
	b.Fine(pods[1], "deadline:-1s")
	storetest.Eventually(t, func() bool { return b.Copied().Fine(pods[0], "").Values["user"] == nil }, "it is over")
}

func TestLoginBegunBeforeRevokeUserDoesNotCount(t *testing.T) {
	t.Parallel()
	_, pods := setup(t, options{pods: 2})
	for name, halves := range map[string][2]string{
		"in one request": {"begin:ann", "renew put:user=ann"}, "without a renewal": {"begin:ann", "put:user=ann"},
	} {
		b := &storetest.Browser{T: t}
		letGo := b.SendSlow(pods[0], halves[0], halves[1]) // the old password was checked meanwhile
		_, err := pods[1].store.Sessions().RevokeUser(t.Context(), "ann")
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, letGo().Status, name)
		require.Nil(t, b.Fine(pods[1], "").Values["user"], name)
	}

	// Over several requests.
	b := &storetest.Browser{T: t}
	b.Fine(pods[0], "begin:ann")
	_, err := pods[1].store.Sessions().RevokeUser(t.Context(), "ann")
	require.NoError(t, err)
	b.Fine(pods[0], "renew put:user=ann")
	require.Nil(t, b.Fine(pods[1], "").Values["user"])

	// And one that nothing disturbs.
	b = &storetest.Browser{T: t}
	b.Fine(pods[0], "begin:ann")
	b.Fine(pods[1], "renew put:user=ann")
	require.Equal(t, "ann", b.Fine(pods[0], "").Values["user"])
	require.Equal(t, "ann", rowOf(t, pods[0], b).User)
	b.Fine(pods[0], "renew")
	require.Equal(t, "ann", b.Fine(pods[0], "").Values["user"])
}

// With IdleTimeout scs stores every session after every request. Here that writes nothing, and reverts nothing.
func TestUnchangedIsNotWritten(t *testing.T) {
	t.Parallel()
	_, pods := setup(t, options{pods: 2, manager: func(m *scs.SessionManager) { m.IdleTimeout = time.Hour }})
	b := &storetest.Browser{T: t}
	b.Fine(pods[0], "put:user=ann put:note=1 put:more=2 put:most=3")
	before := rowOf(t, pods[0], b)
	require.Equal(t, time.Hour, before.Idle)
	for i := range 20 {
		b.Fine(pods[i%2], "")
	}
	require.Equal(t, before.Version, rowOf(t, pods[0], b).Version)

	reading := b.Copied()
	letGo := reading.SendSlow(pods[0], "", "")
	b.Fine(pods[1], "put:note=new")
	letGo()
	require.Equal(t, before.Version+1, rowOf(t, pods[0], b).Version)
	require.Equal(t, "new", b.Fine(pods[1], "").Values["note"], "a request that only read takes nothing back")
}

func TestIdleTimeout(t *testing.T) {
	t.Parallel()
	_, pods := setup(t, options{pods: 2, manager: func(m *scs.SessionManager) { m.IdleTimeout = 3 * time.Second }})
	b := &storetest.Browser{T: t}
	b.Fine(pods[0], "put:user=ann")
	for begin := time.Now(); time.Since(begin) < 5*time.Second; {
		require.Equal(t, "ann", b.Fine(pods[0], "").Values["user"], "use keeps it")
	}
	storetest.Eventually(t, func() bool {
		// Looking is no use.
		_, err := pods[1].store.Sessions().Look(t.Context(), pods[1].store.Token(b.Cookie.Value))
		return err != nil
	}, "without use it ends")
	require.Nil(t, b.Fine(pods[0], "").Values["user"])
}

func TestIterateDestroysAndDoesNotChange(t *testing.T) {
	t.Parallel()
	inModes(t, func(t *testing.T, mode func(*scs.SessionManager)) {
		_, pods := setup(t, options{pods: 2, manager: mode})
		p := pods[0]
		ann, bob := &storetest.Browser{T: t}, &storetest.Browser{T: t}
		ann.Fine(p, "renew put:user=ann")
		bob.Fine(p, "renew put:user=bob")

		seen := 0

		// The example of scs' documentation.
		require.NoError(t, p.Iterate(t.Context(), func(ctx context.Context) error {
			seen++
			if p.GetString(ctx, "user") == "ann" {
				return p.Destroy(ctx)
			}
			return nil
		}))

		require.Equal(t, 2, seen)

		for _, pod := range pods {
			storetest.Eventually(t, func() bool { return ann.Copied().Fine(pod, "").Values["user"] == nil }, "it is destroyed")
			require.Equal(t, "bob", bob.Fine(pod, "").Values["user"])
		}

		err := p.Iterate(t.Context(), func(ctx context.Context) error {
			p.Put(ctx, "note", "changed")
			_, _, err := p.Commit(ctx)
			return err
		})
		require.ErrorIs(t, err, scsstore.ErrIterated)
		require.Nil(t, bob.Fine(p, "").Values["note"])
	})
}

func TestMergeSession(t *testing.T) {
	t.Parallel()
	_, pods := setup(t, options{pods: 2})
	p := pods[0]
	old := &storetest.Browser{T: t}
	old.Fine(p, "renew put:user=ann put:note=kept deadline:30m")
	// The redirect has come without the cookie.
	ctx, err := p.Load(t.Context(), "")
	require.NoError(t, err)
	require.NoError(t, p.MergeSession(ctx, old.Cookie.Value))
	token, _, err := p.Commit(ctx)
	require.NoError(t, err)
	b := &storetest.Browser{T: t, Cookie: &http.Cookie{Name: p.Cookie.Name, Value: token}}
	a := b.Fine(pods[1], "")
	require.Equal(t, "ann", a.Values["user"])
	require.Equal(t, "kept", a.Values["note"])
	require.LessOrEqual(t, rowOf(t, p, b).UntilDeadline(), 30*time.Minute)
	storetest.Eventually(t, func() bool { return old.Copied().Fine(pods[1], "").Values["user"] == nil }, "the other is over")

	// Into one that is there: that one goes on, as ann's.
	other := &storetest.Browser{T: t}
	other.Fine(p, "put:more=mine")
	ctx, err = p.Load(t.Context(), other.Cookie.Value)
	require.NoError(t, err)
	require.NoError(t, p.MergeSession(ctx, token))
	_, _, err = p.Commit(ctx)
	require.NoError(t, err)
	a = other.Fine(p, "")
	require.Equal(t, "ann", a.Values["user"])
	require.Equal(t, "mine", a.Values["more"])
	require.Equal(t, "ann", rowOf(t, p, other).User)
}

func TestDataOverTheLimit(t *testing.T) {
	t.Parallel()
	_, pods := setup(t, options{})
	b := &storetest.Browser{T: t}
	b.Fine(pods[0], "put:note=small")
	var shown error
	pods[0].ErrorFunc = func(w http.ResponseWriter, _ *http.Request, err error) {
		shown = err
		w.WriteHeader(http.StatusRequestEntityTooLarge)
	}
	require.Equal(t, http.StatusRequestEntityTooLarge, b.Copied().Do(pods[0], "big:note").Status)
	require.ErrorIs(t, shown, sessionstore.ErrTooLarge)
	require.Equal(t, "small", b.Fine(pods[0], "").Values["note"])
}

// What another version of the program has written is trouble: the user is logged in, and keeps the cookie.
func TestUnreadableIsTrouble(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]string{
		"codec version": `set_byte(data, 1, 99)`, "form": `set_byte(data, 2, 99)`, "values": `substr(data, 1, 5)`, "envelope": `'\x63'`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db, pods := setup(t, options{})
			b := &storetest.Browser{T: t}
			b.Fine(pods[0], "put:user=ann")
			_, err := pods[0].pool.Exec(t.Context(), `UPDATE pgcoherence.session SET data = `+damage)
			require.NoError(t, err)
			p := newPod(t, db, "z", options{})
			cookie := b.Cookie.Value
			require.GreaterOrEqual(t, b.Do(p, "").Status, http.StatusInternalServerError)
			require.Equal(t, cookie, b.Cookie.Value)
		})
	}
}

func TestConcurrentCommits(t *testing.T) {
	t.Parallel()
	_, pods := setup(t, options{pods: 3, config: func(c *scsstore.Config) {
		c.CommitTimeout, c.Sessions.LookupTimeout = time.Minute, time.Minute // whoever comes last waits for all, on a busy machine for long
	}})
	b := &storetest.Browser{T: t}
	b.Fine(pods[0], "put:user=ann")
	errs := make(chan error, 60)
	var all sync.WaitGroup
	for i := range cap(errs) {
		all.Go(func() {
			a, err := b.Copied().Try(t.Context(), pods[i%len(pods)], "put:note="+strconv.Itoa(i))
			if err == nil && a.Status != http.StatusOK {
				err = http.ErrAbortHandler
			}
			errs <- err
		})
	}

	all.Wait()
	close(errs)

	for err := range errs {
		require.NoError(t, err)
	}

	row := rowOf(t, pods[0], b)
	values, err := pods[0].store.Values(row.Data)
	require.NoError(t, err)
	require.NotNil(t, values["note"])

	for _, p := range pods {
		storetest.Eventually(t, func() bool { return b.Fine(p, "").Values["note"] == values["note"] }, "all agree on the last")
	}
}

// The client has gone away before the handler is done; what it changed is stored all the same.
func TestCommitOutlivesTheClient(t *testing.T) {
	t.Parallel()
	_, pods := setup(t, options{})
	p := pods[0]
	b := &storetest.Browser{T: t}
	b.Fine(p, "put:user=ann")
	ctx, cancel := context.WithCancel(t.Context())
	ctx, err := p.Load(ctx, b.Cookie.Value)
	require.NoError(t, err)
	p.Put(ctx, "note", "late")
	cancel()
	_, _, err = p.Commit(ctx)
	require.NoError(t, err)
	require.Equal(t, "late", b.Fine(p, "").Values["note"])
	require.NoError(t, p.Destroy(ctx))
	require.Nil(t, b.Fine(p, "").Values["user"])
}

// Switching scs' hashing on or off logs nobody out.
func TestHashingCanBeSwitched(t *testing.T) {
	t.Parallel()
	db, pods := setup(t, options{manager: modes["plain"]})
	hashing := newPod(t, db, "h", options{manager: modes["hashed"]})
	b := &storetest.Browser{T: t}
	b.Fine(pods[0], "put:user=ann")
	require.Equal(t, "ann", b.Fine(hashing, "").Values["user"])
	b.Fine(hashing, "renew")
	require.Equal(t, "ann", b.Fine(pods[0], "").Values["user"])
	_, found, err := hashing.store.Find("no hash")
	require.NoError(t, err)
	require.False(t, found)
	require.ErrorIs(t, hashing.store.Commit("no hash", []byte("x"), time.Now().Add(time.Hour)), scsstore.ErrUnhashed)
}

// Neither tokens nor what scs makes of them are anywhere in the database.
func TestTokensAreNotStored(t *testing.T) {
	t.Parallel()
	inModes(t, func(t *testing.T, mode func(*scs.SessionManager)) {
		_, pods := setup(t, options{manager: mode})
		b := &storetest.Browser{T: t}
		b.Fine(pods[0], "put:user=ann")
		var n int
		require.NoError(t, pods[0].pool.QueryRow(t.Context(), `
			SELECT count(*) FROM pgcoherence.session AS s
			WHERE strpos(s::text, $1) > 0 OR strpos(s::text, encode(decode(translate($1, '-_', '+/') || '=', 'base64'), 'hex')) > 0
				OR strpos(s::text, encode(sha256($1::bytea), 'hex')) > 0`, b.Cookie.Value).Scan(&n))
		require.Zero(t, n)
	})
}

func TestDatabaseAway(t *testing.T) {
	t.Parallel()
	server := pgtestServer(t)
	b := &storetest.Browser{T: t}
	p := server.pod
	b.Fine(p, "put:user=ann")
	require.Equal(t, "ann", b.Fine(p, "").Values["user"])
	server.stop()

	// What is in memory goes on while the bus is fresh; then it is an error, and never anonymous.
	storetest.Eventually(t, func() bool {
		a := b.Copied().Do(p, "")
		if a.Status == http.StatusOK {
			require.Equal(t, "ann", a.Values["user"])
		}
		return a.Status == http.StatusInternalServerError
	}, "it becomes an error")

	stranger := &storetest.Browser{T: t}
	require.Equal(t, http.StatusInternalServerError, stranger.Do(p, "put:user=bob").Status, "nothing can be stored")
	require.Nil(t, (&storetest.Browser{T: t}).Fine(p, "").Values["user"], "who has no session needs no database")
	server.start()
	storetest.Eventually(t, func() bool {
		a := b.Copied().Do(p, "")
		return a.Status == http.StatusOK && a.Values["user"] == "ann"
	}, "it is back")
}

// Times that stand for ever are taken: no session ends at once, and no commit fails.
func TestForever(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*scs.SessionManager){
		"lifetime": func(m *scs.SessionManager) { m.Lifetime = math.MaxInt64 },
		"idle":     func(m *scs.SessionManager) { m.IdleTimeout = math.MaxInt64 },
		"both":     func(m *scs.SessionManager) { m.Lifetime, m.IdleTimeout = math.MaxInt64, math.MaxInt64 },
	} {
		_, pods := setup(t, options{manager: change, config: func(c *scsstore.Config) { c.CommitTimeout = math.MaxInt64 }})
		b := &storetest.Browser{T: t}
		b.Fine(pods[0], "put:user=ann")
		b.Fine(pods[0], "put:note=1")
		b.Fine(pods[0], "renew put:more=1")
		require.Equal(t, "1", b.Fine(pods[0], "").Values["more"], name)
	}
}

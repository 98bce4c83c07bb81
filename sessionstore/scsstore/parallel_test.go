package scsstore_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/internal/lab/storetest"
	"github.com/pgcoherence/pgcoherence/sessionstore/scsstore"
)

// valuesOf are what the database holds.
func valuesOf(t *testing.T, p *pod, b *storetest.Browser) map[string]any {
	t.Helper()
	values, err := p.store.Values(rowOf(t, p, b).Data)
	require.NoError(t, err)
	return values
}

// Requests of one browser that change different values keep all of them, whatever each of them had loaded.
func TestParallelWritesAreMerged(t *testing.T) {
	t.Parallel()
	inModes(t, func(t *testing.T, mode func(*scs.SessionManager)) {
		_, pods := setup(t, options{pods: 2, manager: mode})
		b := &storetest.Browser{T: t}
		b.Fine(pods[0], "put:user=ann put:gone=1 put:gone2=1 put:theme=light")

		words := []string{"remove:gone", "remove:gone2", "put:theme=dark"}
		for i := range 12 {
			words = append(words, fmt.Sprintf("put:k%d=%d", i, i))
		}

		storetest.Together(t, pods, b, words...)

		values := valuesOf(t, pods[0], b)
		for i := range 12 {
			require.Equal(t, fmt.Sprint(i), values[fmt.Sprintf("k%d", i)])
		}

		require.NotContains(t, values, "gone")
		require.NotContains(t, values, "gone2")
		require.Equal(t, "dark", values["theme"])
		require.Zero(t, pods[0].store.Stats().Overtaken+pods[1].store.Stats().Overtaken)
	})
}

// A value that was set to what this pod believes it to be already is written all the same, if the database has another.
func TestStaleUnchangedIsWritten(t *testing.T) {
	t.Parallel()
	_, pods := setup(t, options{pods: 2})
	for i := range 20 {
		b := &storetest.Browser{T: t}
		b.Fine(pods[0], "put:user=ann put:theme=light")
		b.Fine(pods[1], "")
		b.Fine(pods[0], "put:theme=dark")
		b.Fine(pods[1], fmt.Sprintf("put:theme=light put:n=%d", i))
		require.Equal(t, "light", valuesOf(t, pods[0], b)["theme"])
	}
}

// A POST on one pod and a GET on another: the GET reads what was written.
func TestReadYourWrites(t *testing.T) {
	t.Parallel()
	inModes(t, func(t *testing.T, mode func(*scs.SessionManager)) {
		_, pods := setup(t, options{pods: 2, manager: mode})
		b := &storetest.Browser{T: t}
		b.Fine(pods[0], "put:user=ann")
		for i := range 100 {
			p, other := pods[i%2], pods[(i+1)%2]
			b.Fine(other, "")
			b.Fine(p, fmt.Sprintf("put:flash=%d", i))
			require.Equal(t, fmt.Sprint(i), b.Fine(other, "").Values["flash"])
		}
	})
}

// Renewals of one token that meet: every response brings a token that works, and nothing is lost.
func TestRenewalsMeet(t *testing.T) {
	t.Parallel()
	inModes(t, func(t *testing.T, mode func(*scs.SessionManager)) {
		_, pods := setup(t, options{pods: 2, manager: mode})
		b := &storetest.Browser{T: t}
		b.Fine(pods[0], "renew put:user=ann put:note=kept")

		for _, a := range storetest.Together(t, pods, b, "renew put:a=1", "renew put:b=1", "renew", "renew put:c=1") {
			arrived := &storetest.Browser{T: t, Cookie: a.Set}
			for _, p := range pods {
				values := arrived.Fine(p, "").Values
				require.Equal(t, "ann", values["user"])
				require.Equal(t, "kept", values["note"])
			}
		}
	})
}

// A logout that meets several renewals ends whatever they have not stored yet.
func TestLogoutBetweenRenewals(t *testing.T) {
	t.Parallel()
	_, pods := setup(t, options{pods: 2})
	b := &storetest.Browser{T: t}
	b.Fine(pods[0], "renew put:user=ann")
	first, second := b.Copied(), b.Copied()
	leave := b.Copied().SendSlow(pods[0], "", "destroy")
	two := second.SendSlow(pods[1], "", "renew")
	one := first.SendSlow(pods[0], "renew", "")
	require.Equal(t, http.StatusOK, leave().Status)
	two()
	one()

	for _, left := range []*storetest.Browser{first, second} {
		require.Nil(t, left.Fine(pods[1], "").Values["user"])
	}

	n, err := pods[0].store.Sessions().Count(t.Context(), "ann")
	require.NoError(t, err)
	require.Zero(t, n)
}

// A response that arrives late, of a request that was let in before a login, a renewal or a logout with another login,
// neither replaces nor deletes the cookie that the browser has got since.
func TestLateResponses(t *testing.T) {
	t.Parallel()
	inModes(t, func(t *testing.T, mode func(*scs.SessionManager)) {
		_, pods := setup(t, options{pods: 2, manager: mode})
		for _, before := range []string{"", "put:note=1", "renew put:user=ann"} {
			for _, late := range []string{"", "put:late=1", "renew", "renew put:late=1", "clear", "destroy", "put:late=1 destroy", "remove:note"} {
				for _, meanwhile := range [][]string{{"renew put:user=ann"}, {"renew put:user=ann", "renew"}, {"destroy", "renew put:user=ann"}} {
					if strings.Contains(before, "ann") && strings.Contains(late, "destroy") && meanwhile[0] != "destroy" {
						continue // a logout of the very session, which wins over its renewals
					}
					storetest.Late(t, pods[0], pods[1], before, late, meanwhile)
				}
			}
		}
	})
}

// With a fixed name cookies are as scs', and what is read has either name.
func TestFixedCookieName(t *testing.T) {
	t.Parallel()
	db, pods := setup(t, options{})
	fixed := newPod(t, db, "fixed", options{config: func(c *scsstore.Config) { c.FixedCookieName = true }})
	b := &storetest.Browser{T: t}
	b.Fine(fixed, "put:note=1")
	require.Equal(t, "session", b.Cookie.Name)
	require.Equal(t, "1", b.Fine(pods[0], "put:more=1").Values["note"])
	require.Equal(t, "session", b.Cookie.Name, "as long as the token stays")
	b.Fine(pods[0], "renew put:user=ann")
	require.NotEqual(t, "session", b.Cookie.Name)
	require.Len(t, b.Cookies(), 1)
	require.Equal(t, "ann", b.Fine(fixed, "put:more=2").Values["user"])
	b.Fine(fixed, "renew")
	require.Equal(t, "session", b.Cookie.Name)
	require.Len(t, b.Cookies(), 1)
	b.Fine(fixed, "destroy")
	require.Empty(t, b.Cookies())
}

// The middleware passes on what handlers do with the ResponseWriter, and renames the cookie before the header is sent.
func TestHandlerStreams(t *testing.T) {
	t.Parallel()
	_, pods := setup(t, options{})
	p := pods[0]
	for name, write := range map[string]func(http.ResponseWriter) error{
		"nothing": func(http.ResponseWriter) error { return nil },
		"write":   func(w http.ResponseWriter) error { _, err := io.WriteString(w, "x"); return err },
		"status":  func(w http.ResponseWriter) error { w.WriteHeader(http.StatusAccepted); return nil },
		"early hints": func(w http.ResponseWriter) error {
			w.WriteHeader(http.StatusEarlyHints)
			_, err := io.WriteString(w, "x")
			return err
		},
		"flush": func(w http.ResponseWriter) error {
			_, err := io.WriteString(w, "x")
			return errors.Join(err, http.NewResponseController(w).Flush(), http.NewResponseController(w).SetWriteDeadline(time.Now().Add(time.Minute)))
		},
		"copy": func(w http.ResponseWriter) error { _, err := io.Copy(w, strings.NewReader("x")); return err },
	} {
		server := httptest.NewServer(p.store.Handler(p.LoadAndSave(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			p.Put(r.Context(), "n", name)
			http.SetCookie(w, &http.Cookie{Name: "own", Value: "kept"})
			if err := write(w); err != nil {
				t.Error(name, err)
			}
		}))))
		response, err := server.Client().Get(server.URL)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		server.Close()

		names := map[string]string{}
		for _, c := range response.Cookies() {
			names[c.Name] = c.Value
		}

		require.Equal(t, "kept", names["own"], name)
		require.NotContains(t, names, "session", name)
		delete(names, "own")
		require.Len(t, names, 1, name)

		for cookie, token := range names {
			require.Len(t, cookie, len("session-12345678"), name)
			_, found, err := p.store.Find(token)
			require.NoError(t, err)
			require.True(t, found)
		}
	}
}

// What others have written between the loading of a session and its renewal goes on with it.
func TestRenewalKeepsWhatOthersWrote(t *testing.T) {
	t.Parallel()
	_, pods := setup(t, options{pods: 2})
	b := &storetest.Browser{T: t}
	b.Fine(pods[0], "put:user=ann put:theme=light")
	renewing := b.Copied()
	renew := renewing.SendSlow(pods[0], "", "renew put:mine=1")
	b.Fine(pods[1], "put:theirs=1 put:theme=dark")
	renew()
	values := renewing.Fine(pods[1], "").Values
	require.Equal(t, "1", values["mine"])
	require.Equal(t, "1", values["theirs"])
	require.Equal(t, "dark", values["theme"])
}

// A session whose user was taken out of the values is nobody's.
func TestLogoutByEmptying(t *testing.T) {
	t.Parallel()
	_, pods := setup(t, options{pods: 2})
	for _, words := range []string{"remove:user", "clear put:note=anonymous", "put:user="} {
		b := &storetest.Browser{T: t}
		b.Fine(pods[0], "renew put:user=ann put:note=kept")
		b.Fine(pods[1], words)
		list, err := pods[0].store.Sessions().List(t.Context(), "ann")
		require.NoError(t, err)
		require.Empty(t, list, words)
		_, err = pods[0].store.Sessions().RevokeUser(t.Context(), "ann")
		require.NoError(t, err)
		require.NotNil(t, b.Fine(pods[1], "").Values["note"], "the anonymous rest goes on: %s", words)
	}
}

// A renewal that clears the values and puts the same user into them again is no login: what has ended the user's sessions
// meanwhile ends it.
func TestClearedRenewalMeetsRevokeUser(t *testing.T) {
	t.Parallel()
	_, pods := setup(t, options{pods: 2})
	b := &storetest.Browser{T: t}
	b.Fine(pods[0], "renew put:user=ann")
	letGo := b.SendSlow(pods[0], "renew clear", "put:user=ann")
	_, err := pods[1].store.Sessions().RevokeUser(t.Context(), "ann")
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, letGo().Status)
	require.Nil(t, b.Fine(pods[1], "").Values["user"])

	// Undisturbed it goes on, and so does the next login.
	b = &storetest.Browser{T: t}
	b.Fine(pods[0], "renew put:user=ann")
	b.Fine(pods[0], "renew clear put:user=ann")
	require.Equal(t, "ann", b.Fine(pods[1], "").Values["user"])
	_, err = pods[1].store.Sessions().RevokeUser(t.Context(), "ann")
	require.NoError(t, err)
	b = &storetest.Browser{T: t}
	b.Fine(pods[0], "renew put:user=ann")
	require.Equal(t, "ann", b.Fine(pods[1], "").Values["user"])
}

// While the database is away scs' own ErrorFunc would say 500; ours says 503, and nothing else.
func TestErrorsShownToBrowsers(t *testing.T) {
	t.Parallel()
	_, pods := setup(t, options{})
	p := pods[0]
	b := &storetest.Browser{T: t}
	b.Fine(p, "put:user=ann")
	require.Equal(t, http.StatusRequestEntityTooLarge, b.Copied().Do(p, "big:note").Status)
	p.pool.Close()
	fresh := &storetest.Browser{T: t, Cookie: &http.Cookie{Name: "session", Value: strings.Repeat("x", 43)}}
	a := fresh.Do(p, "")
	require.Equal(t, http.StatusServiceUnavailable, a.Status)
	require.Equal(t, "sessions are temporarily unavailable, try again later\n", a.Text)
	_, _, err := p.store.Find(strings.Repeat("x", 43))
	require.EqualError(t, err, "scsstore: sessions are temporarily unavailable, try again later")
}

// A program's own ErrorFunc stays.
func TestOwnErrorFuncStays(t *testing.T) {
	t.Parallel()
	_, pods := setup(t, options{manager: func(m *scs.SessionManager) {
		m.ErrorFunc = func(w http.ResponseWriter, _ *http.Request, _ error) {
			w.WriteHeader(http.StatusTeapot)
			_, _ = io.WriteString(w, "own")
		}
	}})
	pods[0].pool.Close()
	b := &storetest.Browser{T: t, Cookie: &http.Cookie{Name: "session", Value: strings.Repeat("x", 43)}}
	require.Equal(t, http.StatusTeapot, b.Do(pods[0], "").Status)
}

// However often Iterate runs, a session has one handle.
func TestHandlesDoNotPileUp(t *testing.T) {
	t.Parallel()
	_, pods := setup(t, options{manager: modes["hashed"]})
	b := &storetest.Browser{T: t}
	b.Fine(pods[0], "put:user=ann")

	for range 5 {
		_, err := pods[0].store.AllCtx(t.Context())
		require.NoError(t, err)
	}

	require.Equal(t, 1, scsstore.Handles(pods[0].store))
	scsstore.AgeHandles(pods[0].store)
	b.Fine(pods[0], "destroy")
	_, err := pods[0].store.AllCtx(t.Context())
	require.NoError(t, err)
	require.Zero(t, scsstore.Handles(pods[0].store))
}

package httpsession_test

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/internal/lab/storetest"
	"github.com/pgcoherence/pgcoherence/sessionstore"
	"github.com/pgcoherence/pgcoherence/sessionstore/httpsession"
)

func TestLoginHereReadThereLogoutElsewhere(t *testing.T) {
	t.Parallel()
	_, pods := setup(t, 3, nil, nil)
	b := newBrowser(t)

	status, _ := b.do(pods[0], "GET", "/")
	require.Equal(t, http.StatusUnauthorized, status)
	b.fine(pods[0], "POST", "/login?user=ann")
	for _, p := range pods {
		require.Equal(t, "ann", b.fine(p, "GET", "/"))
		b.fine(p, "GET", "/member")
	}
	list, err := pods[1].store.List(t.Context(), "ann")
	require.NoError(t, err)
	require.Len(t, list, 1)
	require.NotEmpty(t, list[0].Device.IP)

	stolen := b.copied()
	b.fine(pods[1], "POST", "/logout")
	require.Empty(t, b.sessionCookies())
	status, _ = stolen.do(pods[1], "GET", "/")
	require.Equal(t, http.StatusUnauthorized, status)
	require.Empty(t, stolen.sessionCookies(), "a cookie that is over goes")
}

func TestLogoutEverywhere(t *testing.T) {
	t.Parallel()
	_, pods := setup(t, 2, nil, nil)
	here, there, bob := newBrowser(t), newBrowser(t), newBrowser(t)
	here.fine(pods[0], "POST", "/login?user=ann")
	there.fine(pods[1], "POST", "/login?user=ann")
	bob.fine(pods[1], "POST", "/login?user=bob")

	here.fine(pods[0], "POST", "/everywhere")
	require.Empty(t, here.sessionCookies())
	storetest.Eventually(t, func() bool {
		status, _ := there.copied().do(pods[1], "GET", "/")
		return status == http.StatusUnauthorized
	}, "it is heard")
	bob.fine(pods[1], "GET", "/member")
	status, _ := here.do(pods[0], "POST", "/everywhere")
	require.Equal(t, http.StatusUnauthorized, status)
}

func TestCookieAttributes(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		cfg  httpsession.Config
		path string
		want []string
		not  []string
	}{
		"default": {httpsession.Config{}, "/login?user=ann", []string{"__Host-session-", "Path=/", "HttpOnly", "Secure", "SameSite=Lax"}, []string{"Domain", "Max-Age"}},
		"persist": {httpsession.Config{}, "/login?user=ann&persist", []string{"__Host-session-", "Max-Age=432"}, nil},
		"strict":  {httpsession.Config{SameSite: http.SameSiteStrictMode, Name: "app"}, "/login?user=ann", []string{"__Host-app-", "SameSite=Strict"}, nil},
		"plain":   {httpsession.Config{Insecure: true}, "/login?user=ann", []string{"session-", "HttpOnly"}, []string{"Secure", "__Host-"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, pods := setup(t, 1, &tc.cfg, nil)
			response, _ := newBrowser(t).late(pods[0], "POST", tc.path)
			set := response.header.Get("Set-Cookie")
			for _, want := range tc.want {
				require.Contains(t, set, want)
			}

			for _, not := range tc.not {
				require.NotContains(t, set, not)
			}

			require.Equal(t, "no-store", response.header.Get("Cache-Control"))
		})
	}
}

// A response may only touch the cookie that its request has sent: whatever was let in before a login, and in whatever
// order responses arrive, the login stays.
func TestLateResponsesLeaveTheLoginAlone(t *testing.T) {
	t.Parallel()
	type step struct{ method, path string }
	for name, slow := range map[string]step{
		"read": {"GET", "/"}, "logout": {"POST", "/logout"}, "everywhere": {"POST", "/everywhere"}, "write": {"POST", noteOf("late")},
		"another login": {"POST", "/login?user=bob"}, "guard": {"GET", "/recent"},
	} {
		for state, prepare := range map[string]func([]*pod, *browser){
			"anonymous": func(pods []*pod, b *browser) { b.fine(pods[0], "GET", "/start") },
			"due":       func(pods []*pod, b *browser) { b.fine(pods[0], "GET", "/start"); b.age(pods, "2 hours") },
			"over": func(pods []*pod, b *browser) {
				b.fine(pods[0], "GET", "/start")
				b.copied().fine(pods[0], "POST", "/logout")
			},
			"none": func([]*pod, *browser) {},
		} {
			t.Run(name+", "+state, func(t *testing.T) {
				t.Parallel()
				_, pods := setup(t, 1, nil, nil)
				p, b := pods[0], newBrowser(t)
				prepare(pods, b)

				_, arrive := b.late(p, slow.method, slow.path)
				b.fine(p, "POST", "/login?user=ann")
				arrive()
				require.Equal(t, "ann", b.fine(p, "GET", "/"))
				require.Equal(t, "ann", b.fine(p, "GET", "/"))
				require.Len(t, b.sessionCookies(), 1, "and the other cookie goes")
			})
		}
	}
}

// The response that brings a new token is late, is lost, or many are under way.
func TestRotation(t *testing.T) {
	t.Parallel()

	begin := func(t *testing.T) ([]*pod, *browser, string) {
		_, pods := setup(t, 2, nil, nil)
		b := newBrowser(t)
		b.fine(pods[0], "POST", "/login?user=ann&persist")
		old := b.sessionCookies()[0]
		b.age(pods, "2 hours")
		return pods, b, old
	}
	t.Run("arrives", func(t *testing.T) {
		t.Parallel()
		pods, b, old := begin(t)
		response, arrive := b.late(pods[0], "GET", "/")
		arrive()
		require.NotEqual(t, []string{old}, b.sessionCookies())
		require.Len(t, b.sessionCookies(), 1)
		require.Contains(t, response.header.Get("Set-Cookie"), "Max-Age=43", "it goes on outliving the browser")
		require.Equal(t, "ann", b.fine(pods[1], "GET", "/"))
		require.NotContains(t, b.sessionCookies(), old)
	})

	t.Run("is lost", func(t *testing.T) {
		t.Parallel()
		pods, b, _ := begin(t)
		b.late(pods[0], "GET", "/")
		for range 3 {
			require.Equal(t, "ann", b.fine(pods[1], "GET", "/"))
		}
	})

	t.Run("in parallel", func(t *testing.T) {
		t.Parallel()
		pods, b, _ := begin(t)
		const requests = 20
		arrivals := make(chan func(), requests)
		for i := range requests {
			go func() {
				response, arrive := b.late(pods[i%2], "GET", "/")
				if response.status != http.StatusOK {
					arrivals <- nil
					return
				}
				arrivals <- arrive
			}()
		}

		for range requests {
			arrive := <-arrivals
			require.NotNil(t, arrive, "every request is let in")
			arrive()
		}

		require.Equal(t, "ann", b.fine(pods[0], "GET", "/"))
		require.Equal(t, "ann", b.fine(pods[1], "GET", "/"))
	})

	t.Run("not by HEAD or an upgrade", func(t *testing.T) {
		t.Parallel()
		pods, b, old := begin(t)
		b.fine(pods[0], "HEAD", "/")
		r := b.request("GET", "/")
		r.Header.Set("Connection", "keep-alive, Upgrade")
		w := httptest.NewRecorder()
		pods[0].handler.ServeHTTP(w, r)
		require.Empty(t, w.Header().Values("Set-Cookie"))
		require.Equal(t, []string{old}, b.sessionCookies())
	})

	t.Run("switched off", func(t *testing.T) {
		t.Parallel()
		_, pods := setup(t, 1, &httpsession.Config{RotateEvery: -1}, nil)
		b := newBrowser(t)
		b.fine(pods[0], "POST", "/login?user=ann")
		b.age(pods, "10 hours")
		response, _ := b.late(pods[0], "GET", "/")
		require.Empty(t, response.header.Values("Set-Cookie"))
	})
}

// Two sessions in one browser: the latest login counts, and the other is ended.
func TestTwoLogins(t *testing.T) {
	t.Parallel()
	_, pods := setup(t, 1, nil, nil)
	p, b := pods[0], newBrowser(t)
	_, first := b.late(p, "POST", "/login?user=ann")
	_, second := b.late(p, "POST", "/login?user=bob")
	second()
	first()
	require.Len(t, b.sessionCookies(), 2)
	require.Equal(t, "bob", b.fine(p, "GET", "/"))
	require.Len(t, b.sessionCookies(), 1)
	n, err := p.store.Count(t.Context(), "ann")
	require.NoError(t, err)
	require.Zero(t, n)
}

// Session fixation: the token from before the login opens nothing after it.
func TestLoginEndsWhatWasThere(t *testing.T) {
	t.Parallel()
	_, pods := setup(t, 1, nil, nil)
	p, b := pods[0], newBrowser(t)
	b.fine(p, "GET", "/start")
	planted := b.copied()
	b.fine(p, "POST", "/login?user=ann")
	status, _ := planted.do(p, "GET", "/")
	require.Equal(t, http.StatusUnauthorized, status)
	require.Equal(t, "ann", b.fine(p, "GET", "/"))
}

func TestStepUp(t *testing.T) {
	t.Parallel()
	_, pods := setup(t, 2, nil, nil)
	p, b := pods[0], newBrowser(t)
	status, _ := b.do(p, "GET", "/recent")
	require.Equal(t, http.StatusUnauthorized, status)
	b.fine(p, "GET", "/start")
	status, _ = b.do(p, "GET", "/recent")
	require.Equal(t, http.StatusUnauthorized, status, "nobody has logged in")

	b.fine(p, "POST", "/login?user=ann")
	b.fine(p, "POST", noteOf("kept"))
	b.fine(p, "GET", "/recent")
	_, err := p.pool.Exec(t.Context(), "UPDATE pgcoherence.session SET authenticated_at = authenticated_at - interval '2 hours'")
	require.NoError(t, err)
	status, body := b.do(p, "GET", "/recent")
	require.Equal(t, http.StatusForbidden, status)
	require.Equal(t, "confirm your credentials first", body)
	b.fine(p, "GET", "/member")

	status, _ = b.do(p, "POST", "/again?user=bob")
	require.NotEqual(t, http.StatusOK, status, "only who the session is of")
	status, _ = b.do(p, "GET", "/recent")
	require.Equal(t, http.StatusForbidden, status)

	old := b.copied()
	b.fine(p, "POST", "/again?user=ann")
	b.fine(pods[1], "GET", "/recent")
	require.Equal(t, "ann kept", b.fine(pods[1], "GET", "/"))
	status, _ = old.do(p, "GET", "/")
	require.Equal(t, http.StatusUnauthorized, status, "the token from before is dead")
	status, _ = b.do(p, "GET", "/just")
	require.Equal(t, http.StatusForbidden, status)
}

// A POST on one pod and a GET on another, with nothing in between: the GET reads what was written.
func TestReadYourWrites(t *testing.T) {
	t.Parallel()
	_, pods := setup(t, 2, nil, nil)
	b := newBrowser(t)
	b.fine(pods[0], "POST", "/login?user=ann")
	for i := range 100 {
		p, other := pods[i%2], pods[(i+1)%2]
		b.fine(other, "GET", "/") // it has the session in memory
		text := fmt.Sprint(i)
		b.fine(p, "POST", noteOf(text))
		require.Equal(t, "ann "+text, b.fine(other, "GET", "/"))
	}
}

// The stamp of another session, and text that is none, are ignored.
func TestForeignStamp(t *testing.T) {
	t.Parallel()
	_, pods := setup(t, 1, nil, nil)
	p, b := pods[0], newBrowser(t)
	b.fine(p, "POST", "/login?user=ann")
	b.fine(p, "GET", "/")
	for _, text := range []string{"zzzz.0123456789ab", "-5.", "", "x", "zzzzzzzzzzzzzzzzzzzzz.0123456789ab"} {
		b.cookies["__Host-session-at0"] = text
		before := p.store.Stats().Lookups
		require.Equal(t, "ann", b.fine(p, "GET", "/"))
		require.Equal(t, before, p.store.Stats().Lookups, text)
	}
}

func TestHeadAndHealthChecksStoreNothing(t *testing.T) {
	t.Parallel()
	_, pods := setup(t, 1, nil, nil)
	p, b := pods[0], newBrowser(t)
	for _, path := range []string{"/health", "/start", "/"} {
		b.do(p, "HEAD", path)
	}
	b.fine(p, "GET", "/health")
	b.fine(p, "OPTIONS", "/health")
	require.Empty(t, b.cookies)
	var rows int
	require.NoError(t, p.pool.QueryRow(t.Context(), "SELECT count(*) FROM pgcoherence.session").Scan(&rows))
	require.Zero(t, rows)

	// One that has a cookie reads nothing either, and HEAD is no use of the session.
	b.fine(p, "POST", "/login?user=ann")
	before := p.store.Stats()
	b.fine(p, "GET", "/health")
	require.Equal(t, before, p.store.Stats())
}

// While nobody knows, the request fails and the cookie stays; requests that need no session go on.
func TestDatabaseAway(t *testing.T) {
	t.Parallel()
	_, pods := setup(t, 1, nil, nil)
	p, b := pods[0], newBrowser(t)
	b.fine(p, "POST", "/login?user=ann")
	p.halt()
	p.pool.Close()

	for _, path := range []string{"/", "/member", "/recent"} {
		response, arrive := b.late(p, "GET", path)
		arrive()
		require.Equal(t, http.StatusServiceUnavailable, response.status, path)
		require.NotEmpty(t, response.header.Get("Retry-After"))
		require.Equal(t, "sessions are temporarily unavailable, try again later", response.body)
	}

	status, _ := b.do(p, "POST", "/logout")
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.Len(t, b.sessionCookies(), 1)
	b.fine(p, "GET", "/health")
}

// A pod of another version cannot read the data, or does not know the form of the token. Neither deletes the cookie.
func TestOtherVersions(t *testing.T) {
	t.Parallel()
	db, pods := setup(t, 1, nil, nil)
	p, b := pods[0], newBrowser(t)
	later := newBrowser(t)
	later.cookies["__Host-session-abcdefgh"] = "v2:a-token-of-another-form"
	status, _ := later.do(p, "GET", "/")
	require.Equal(t, http.StatusUnauthorized, status)
	require.Len(t, later.sessionCookies(), 1, "another pod may know it")

	b.fine(p, "POST", "/login?user=ann")
	_, err := p.pool.Exec(t.Context(), "UPDATE pgcoherence.session SET data = set_byte(data, 1, 99)")
	require.NoError(t, err)
	fresh := newPod(t, db, "f", nil, nil)
	status, _ = b.do(fresh, "GET", "/")
	require.Equal(t, http.StatusServiceUnavailable, status, "unreadable is not anonymous")
	require.Len(t, b.sessionCookies(), 1)
}

// Programs that have set a cookie of the bare name themselves go on.
func TestBareCookie(t *testing.T) {
	t.Parallel()
	_, pods := setup(t, 1, nil, nil)
	p, b := pods[0], newBrowser(t)
	login, err := p.store.BeginLogin(t.Context(), "ann")
	require.NoError(t, err)
	token, _, err := p.store.Create(t.Context(), login, cart{}, nil)
	require.NoError(t, err)
	b.cookies["__Host-session"] = token
	require.Equal(t, "ann", b.fine(p, "GET", "/"))
	b.age(pods, "2 hours")
	require.Equal(t, "ann", b.fine(p, "GET", "/"))
	require.NotContains(t, b.sessionCookies(), "__Host-session", "a renewal gives it its own")
}

// Many cookies cost a bounded number of lookups.
func TestManyCookies(t *testing.T) {
	t.Parallel()
	_, pods := setup(t, 1, nil, nil)
	p, b := pods[0], newBrowser(t)
	for i := range 50 {
		token := base64.RawURLEncoding.EncodeToString([]byte(fmt.Sprintf("%032d", i)))
		b.cookies[fmt.Sprintf("__Host-session-%08d", i)] = token
	}
	status, _ := b.do(p, "GET", "/")
	require.Equal(t, http.StatusUnauthorized, status)
	require.LessOrEqual(t, p.store.Stats().Lookups, int64(4))
	require.Len(t, b.sessionCookies(), 46, "those that were looked at are gone")
}

func TestCrossOrigin(t *testing.T) {
	t.Parallel()
	db, pods := setup(t, 1, nil, nil)
	off := newPod(t, db, "o", &httpsession.Config{NoCrossOrigin: true}, nil)
	b := newBrowser(t)
	b.fine(pods[0], "POST", "/login?user=ann")
	for p, want := range map[*pod]int{pods[0]: http.StatusForbidden, off: http.StatusOK} {
		r := b.request("POST", noteOf("forged"))
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		w := httptest.NewRecorder()
		p.handler.ServeHTTP(w, r)
		require.Equal(t, want, w.Code)
	}
}

func TestWithoutTheMiddleware(t *testing.T) {
	t.Parallel()
	_, pods := setup(t, 1, nil, nil)
	w := httptest.NewRecorder()
	pods[0].routes().ServeHTTP(w, httptest.NewRequest("GET", "/", http.NoBody))
	require.Equal(t, http.StatusInternalServerError, w.Code)
	_, err := pods[0].Get(httptest.NewRequest("GET", "/", http.NoBody))
	require.ErrorIs(t, err, httpsession.ErrNoHandler)
}

func TestDescribe(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		err  error
		want int
	}{
		{sessionstore.ErrNoSession, 401},
		{sessionstore.ErrRevoked, 401},
		{sessionstore.ErrExpired, 401},
		{sessionstore.ErrMalformed, 401},
		{sessionstore.ErrRotated, 401},
		{sessionstore.ErrNotFound, 401},
		{httpsession.ErrStepUp, 403},
		{httpsession.ErrCrossOrigin, 403},
		{sessionstore.ErrLoginEnded, 403},
		{sessionstore.ErrLimit, 403},
		{sessionstore.ErrBinding, 403},
		{sessionstore.ErrConflict, 409},
		{sessionstore.ErrTooLarge, 413},
		{sessionstore.ErrInvalid, 400},
		{sessionstore.ErrUnavailable, 503},
		{sessionstore.ErrBusy, 503},
		{sessionstore.ErrUnreadable, 503},
		{context.DeadlineExceeded, 503},
		{errors.New("host=db.internal user=app"), 500},
		{httpsession.ErrNoHandler, 500},
	} {
		p := httpsession.Describe(fmt.Errorf("host=db.internal user=app: %w", tc.err))
		require.Equal(t, tc.want, p.Status, tc.err)
		require.NotEmpty(t, p.Message)
		require.NotContains(t, p.Message, "db.internal")
		require.ErrorIs(t, p.Err, tc.err)
	}
}

func TestConfigIsChecked(t *testing.T) {
	t.Parallel()
	_, pods := setup(t, 1, nil, nil)
	for field, cfg := range map[string]httpsession.Config{
		"Name": {Name: "a b"}, "Name: 33": {Name: strings.Repeat("x", 33)}, "SameSite": {SameSite: http.SameSiteNoneMode, Insecure: true},
		"RotateEvery": {RotateEvery: time.Millisecond}, "WriteTimeout": {WriteTimeout: -1},
	} {
		_, err := httpsession.New(pods[0].store, &cfg)
		require.ErrorIs(t, err, httpsession.ErrConfig)
		require.ErrorContains(t, err, field)
	}
	_, err := httpsession.New[cart](nil, nil)
	require.ErrorIs(t, err, httpsession.ErrConfig)
}

// The ResponseWriter is the server's own: flushing, hijacking and ResponseController work within the middleware, and a
// stream ends with its session.
func TestStreamsAndUpgrades(t *testing.T) {
	t.Parallel()
	_, pods := setup(t, 2, nil, nil)
	p, b := pods[0], newBrowser(t)
	b.fine(p, "POST", "/login?user=ann")

	mux := http.NewServeMux()
	mux.HandleFunc("/events", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel, err := p.Bind(r)
		if err != nil {
			p.Error(w, r, err)
			return
		}
		defer cancel()
		_, _ = io.WriteString(w, "open\n")
		if http.NewResponseController(w).Flush() != nil {
			return
		}
		<-ctx.Done()
		_, _ = fmt.Fprintln(w, context.Cause(ctx))
	})
	mux.HandleFunc("/upgrade", func(w http.ResponseWriter, r *http.Request) {
		got, err := p.Get(r)
		if err != nil {
			p.Error(w, r, err)
			return
		}
		conn, rw, err := w.(http.Hijacker).Hijack() //nolint:errcheck // the test fails by a panic
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n" + got.User + "\n")
		_ = rw.Flush()
	})
	server := httptest.NewServer(p.Handler(mux))
	t.Cleanup(server.Close)

	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	r := b.request("GET", "/upgrade")
	r.Header.Set("Connection", "Upgrade")
	r.Header.Set("Upgrade", "echo")
	require.NoError(t, r.Write(conn))
	said, err := io.ReadAll(conn)
	require.NoError(t, err)
	require.Contains(t, string(said), "101 Switching Protocols")
	require.Contains(t, string(said), "ann\n")

	request, err := http.NewRequestWithContext(t.Context(), "GET", server.URL+"/events", http.NoBody)
	require.NoError(t, err)
	request.Header = b.request("GET", "/events").Header
	response, err := server.Client().Do(request)
	require.NoError(t, err)
	t.Cleanup(func() { _ = response.Body.Close() })
	lines := bufio.NewScanner(response.Body)
	require.True(t, lines.Scan())
	require.Equal(t, "open", lines.Text(), "it is flushed while the handler runs")
	b.copied().fine(pods[1], "POST", "/everywhere")
	require.True(t, lines.Scan())
	require.Equal(t, sessionstore.ErrRevoked.Error(), lines.Text())
}

package oidclogin_test

import (
	"context"
	"encoding/base64"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/lab/oidctest"
	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
	"github.com/pgcoherence/pgcoherence/internal/lab/storetest"
	"github.com/pgcoherence/pgcoherence/sessionstore"
	"github.com/pgcoherence/pgcoherence/sessionstore/gorillastore"
	"github.com/pgcoherence/pgcoherence/sessionstore/oidclogin"
	"github.com/pgcoherence/pgcoherence/sessionstore/scsstore"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(pgtest.Main(m),
		goleak.IgnoreTopFunction("github.com/alexedwards/scs/v2/memstore.(*MemStore).startCleanup"),
		goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"), goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"))
}

// registered is the application, with an id and a secret that need escaping.
var registered = oidctest.Application{ClientID: "three pods", ClientSecret: "s%cret+", RedirectURL: "http://app.example/callback"}

var template = storetest.Template("oidclogin")

// pod is a process of the application, with a client of its own.
type pod struct {
	*oidclogin.Client
	bus   *bus.Postgres
	pool  *pgxpool.Pool
	store *sessionstore.Store[string]
}

// usersOf knows who is who.
func usersOf(_ context.Context, _, subject string) ([]string, error) {
	return []string{"user of " + subject}, nil
}

func configOf(p *oidctest.Provider) *oidclogin.Config {
	return &oidclogin.Config{
		Issuer: p.Issuer(), ClientID: registered.ClientID, ClientSecret: registered.ClientSecret, RedirectURL: registered.RedirectURL,
		Users: usersOf, Insecure: true, Logger: storetest.Quiet(), HTTPClient: p.HTTPClient(),
	}
}

// setup makes pods over one database.
func setup(t *testing.T, p *oidctest.Provider, pods int, change func(*oidclogin.Config)) []*pod {
	t.Helper()
	db := pgtest.New(t, template)
	all := make([]*pod, pods)
	for i := range all {
		one := &pod{pool: db.Pool(t)}
		one.bus = storetest.NewBus(t, one.pool, string(rune('a'+i)))
		storetest.RunBus(t, one.bus)
		var err error
		one.store, err = sessionstore.New(one.bus, one.pool, &sessionstore.Config[string]{Encrypt: true, Logger: storetest.Quiet(), SweepInterval: -1})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, one.store.Close()) })

		cfg := configOf(p)
		if change != nil {
			change(cfg)
		}

		one.Client, err = oidclogin.New(one.store, cfg)
		require.NoError(t, err)
		all[i] = one
	}

	return all
}

// browser keeps the cookie of its attempts.
type browser struct {
	t      *testing.T
	cookie *http.Cookie
}

func (b *browser) begin(p *pod, o *oidclogin.BeginOptions) (address string) {
	b.t.Helper()
	r, w := httptest.NewRequest("POST", "/login", http.NoBody), httptest.NewRecorder()
	if b.cookie != nil {
		r.AddCookie(b.cookie)
	}
	address, err := p.Begin(w, r, o)
	require.NoError(b.t, err)
	b.cookie = w.Result().Cookies()[0]
	return address
}

func (b *browser) finish(p *pod, back *url.URL) (*oidclogin.Identity, error) {
	r := httptest.NewRequest("GET", back.String(), http.NoBody)
	if b.cookie != nil {
		r.AddCookie(b.cookie)
	}
	return p.Finish(httptest.NewRecorder(), r)
}

// login is a whole one of the native store.
func (p *pod) login(t *testing.T, id *oidclogin.Identity) (token string) {
	t.Helper()
	users, _ := usersOf(t.Context(), id.Issuer, id.Subject)
	login, err := p.store.BeginLogin(t.Context(), users[0])
	require.NoError(t, err)
	o := id.CreateOptions()
	token, _, err = p.store.Create(t.Context(), login, "data", &o)
	require.NoError(t, err)
	return token
}

func TestBegunHereFinishedThere(t *testing.T) {
	t.Parallel()
	idp := oidctest.New(t, registered)
	pods := setup(t, idp, 2, nil)
	b := &browser{t: t}
	first := b.begin(pods[0], &oidclogin.BeginOptions{ReturnTo: "/orders?page=2"})
	second := b.begin(pods[0], nil) // another tab
	require.True(t, b.cookie.HttpOnly)
	require.Equal(t, http.SameSiteLaxMode, b.cookie.SameSite)

	id, err := b.finish(pods[1], idp.Authorize(first, "s-1", "sid-1"))
	require.NoError(t, err)
	require.Equal(t, "s-1", id.Subject)
	require.Equal(t, "sid-1", id.SID)
	require.Equal(t, idp.Issuer(), id.Issuer)
	require.Equal(t, "/orders?page=2", id.ReturnTo)
	require.WithinDuration(t, time.Now(), id.AuthenticatedAt, time.Minute)
	var claims struct{ Name string }
	require.NoError(t, id.Claims(&claims))
	require.Equal(t, "Ann", claims.Name)
	token := pods[1].login(t, id)
	got, err := pods[0].store.Get(t.Context(), token)
	require.NoError(t, err)
	require.Equal(t, "sid-1", got.SID)
	require.True(t, got.AuthenticatedWithin(time.Minute))

	id, err = b.finish(pods[0], idp.Authorize(second, "s-1", ""))
	require.NoError(t, err)
	require.Equal(t, "/", id.ReturnTo)
	require.Empty(t, id.CreateOptions().Issuer, "without a sid there is nothing to find the session by")
}

// What an OAuth client has to withstand.
func TestAttacks(t *testing.T) {
	t.Parallel()
	idp := oidctest.New(t, registered)
	pods := setup(t, idp, 2, nil)
	mine := &browser{t: t}

	back := idp.Authorize(mine.begin(pods[0], nil), "s", "")
	_, err := mine.finish(pods[1], back)
	require.NoError(t, err)
	_, err = mine.finish(pods[0], back)
	require.ErrorIs(t, err, oidclogin.ErrAttempt, "the same response once more")

	back = idp.Authorize(mine.begin(pods[0], nil), "s", "")
	_, err = (&browser{t: t}).finish(pods[0], back)
	require.ErrorIs(t, err, oidclogin.ErrAttempt, "a browser without a cookie")
	other := &browser{t: t}
	other.begin(pods[0], nil)
	back = idp.Authorize(mine.begin(pods[0], nil), "s", "")
	_, err = other.finish(pods[1], back)
	require.ErrorIs(t, err, oidclogin.ErrAttempt, "another browser")

	for name, change := range map[string]struct {
		with func(url.Values)
		want error
	}{
		"another issuer": {func(q url.Values) { q.Set("iss", "https://other.example") }, oidclogin.ErrAttempt},
		"no issuer":      {func(q url.Values) { q.Del("iss") }, oidclogin.ErrAttempt},
		"no state":       {func(q url.Values) { q.Del("state") }, oidclogin.ErrAttempt},
		"another state":  {func(q url.Values) { q.Set("state", strings.Repeat("A", 43)) }, oidclogin.ErrAttempt},
		"denied":         {func(q url.Values) { q.Set("error", "access_denied"); q.Del("code") }, oidclogin.ErrDenied},
		"no code":        {func(q url.Values) { q.Del("code") }, oidclogin.ErrToken},
		"another code":   {func(q url.Values) { q.Set("code", "guessed") }, oidclogin.ErrToken},
	} {
		back := idp.Authorize(mine.begin(pods[0], nil), "s", "")
		q := back.Query()
		change.with(q)
		back.RawQuery = q.Encode()
		_, err := mine.finish(pods[1], back)
		require.ErrorIs(t, err, change.want, name)
		status, message := oidclogin.Describe(err)
		require.Less(t, status, 500, name)
		require.NotEmpty(t, message)
	}

	for name, change := range map[string]func(map[string]any){
		"another issuer":   func(c map[string]any) { c["iss"] = "https://other.example" },
		"another audience": func(c map[string]any) { c["aud"] = "them" },
		"another party":    func(c map[string]any) { c["aud"] = []string{registered.ClientID, "them"}; c["azp"] = "them" },
		"another nonce":    func(c map[string]any) { c["nonce"] = "other" },
		"no nonce":         func(c map[string]any) { delete(c, "nonce") },
		"expired":          func(c map[string]any) { c["exp"] = time.Now().Add(-time.Hour).Unix() },
		"no subject":       func(c map[string]any) { delete(c, "sub") },
		"at_hash":          func(c map[string]any) { c["at_hash"] = "AAAAAAAAAAAAAAAAAAAAAA" },
	} {
		back := idp.Authorize(mine.begin(pods[0], nil), "s", "")
		idp.SetChange(change)
		_, err := mine.finish(pods[1], back)
		require.ErrorIs(t, err, oidclogin.ErrToken, name)
	}
}

// A step-up asks the provider for credentials, and believes only a recent authentication.
func TestMaxAge(t *testing.T) {
	t.Parallel()
	idp := oidctest.New(t, registered)
	pods := setup(t, idp, 1, nil)
	b := &browser{t: t}
	address := b.begin(pods[0], &oidclogin.BeginOptions{MaxAge: time.Minute, LoginHint: "ann", Extra: map[string]string{"prompt": "login"}})
	require.Contains(t, address, "max_age=60")
	require.Contains(t, address, "prompt=login")
	_, err := b.finish(pods[0], idp.Authorize(address, "s", ""))
	require.NoError(t, err)

	for name, change := range map[string]func(map[string]any){
		"long ago": func(c map[string]any) { c["auth_time"] = time.Now().Add(-time.Hour).Unix() },
		"unknown":  func(c map[string]any) { delete(c, "auth_time") },
	} {
		back := idp.Authorize(b.begin(pods[0], &oidclogin.BeginOptions{MaxAge: time.Minute}), "s", "")
		idp.SetChange(change)
		_, err := b.finish(pods[0], back)
		require.ErrorIs(t, err, oidclogin.ErrToken, name)
	}
}

// TestAuthenticatedWithin: the session counts as authenticated since when the provider says that credentials were shown, and
// not at all where it does not say: a browser that is still logged in there has shown none.
func TestAuthenticatedWithin(t *testing.T) {
	t.Parallel()
	idp := oidctest.New(t, registered)
	pods := setup(t, idp, 1, nil)
	b := &browser{t: t}
	for name, c := range map[string]struct {
		change func(map[string]any)
		within bool
	}{
		"now":      {nil, true},
		"long ago": {func(c map[string]any) { c["auth_time"] = time.Now().Add(-time.Hour).Unix() }, false},
		"unknown":  {func(c map[string]any) { delete(c, "auth_time") }, false},
		"zero":     {func(c map[string]any) { c["auth_time"] = 0 }, false},
		"negative": {func(c map[string]any) { c["auth_time"] = -1 }, false},
	} {
		back := idp.Authorize(b.begin(pods[0], nil), "s", "")
		idp.SetChange(c.change)
		id, err := b.finish(pods[0], back)
		require.NoError(t, err, name)
		got, err := pods[0].store.Get(t.Context(), pods[0].login(t, id))
		require.NoError(t, err, name)
		require.Equal(t, c.within, got.AuthenticatedWithin(time.Minute), name)
	}
}

func TestProviderAway(t *testing.T) {
	t.Parallel()
	idp := oidctest.New(t, registered)
	pods := setup(t, idp, 1, nil)
	idp.SetDown(true)
	w := httptest.NewRecorder()
	pods[0].Start(w, httptest.NewRequest("POST", "/login", http.NoBody))
	require.Equal(t, http.StatusServiceUnavailable, w.Code)
	require.NotContains(t, w.Body.String(), idp.Issuer())

	idp.SetDown(false)
	w = httptest.NewRecorder()
	pods[0].Start(w, httptest.NewRequest("POST", "/login?return_to=/here", http.NoBody))
	require.Equal(t, http.StatusSeeOther, w.Code, "a failure is not remembered")
	address, ok, err := pods[0].LogoutURL(t.Context(), "token", "http://app.example/")
	require.NoError(t, err)
	require.True(t, ok)
	require.Contains(t, address, "/logout?client_id=three+pods&id_token_hint=token&post_logout_redirect_uri=http")
}

// faces are the kinds of sessions that can be logged in by a provider. Each returns whether its session is still valid.
func faces(t *testing.T, p *pod) map[string]func(id *oidclogin.Identity) (valid func() bool) {
	manager := scs.New()
	ofSCS, err := scsstore.New(p.bus, p.pool, manager, &scsstore.Config{
		WithUser: func(values map[string]any) string { user, _ := values["user"].(string); return user },
		Sessions: sessionstore.Config[scsstore.Data]{Logger: storetest.Quiet(), SweepInterval: -1, Name: "scs"},
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, ofSCS.Close()) })
	ofGorilla, err := gorillastore.New(p.bus, p.pool, &gorillastore.Config{
		WithUser: func(values map[any]any) string { user, _ := values["user"].(string); return user },
		Sessions: sessionstore.Config[gorillastore.Data]{Logger: storetest.Quiet(), SweepInterval: -1, Name: "gorilla"},
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, ofGorilla.Close()) })

	inSCS := func(renew bool) func(id *oidclogin.Identity) func() bool {
		return func(id *oidclogin.Identity) func() bool {
			ctx, err := manager.Load(t.Context(), "")
			require.NoError(t, err)
			manager.Put(ctx, "cart", 1)
			token, _, err := manager.Commit(ctx)
			require.NoError(t, err)
			ctx, err = manager.Load(t.Context(), token)
			require.NoError(t, err)
			require.NoError(t, ofSCS.BeginLogin(ctx, "user of "+id.Subject))
			if renew {
				require.NoError(t, manager.RenewToken(ctx))
			}
			ofSCS.FromProvider(ctx, id.Issuer, id.SID)
			manager.Put(ctx, "user", "user of "+id.Subject)
			token, _, err = manager.Commit(ctx)
			require.NoError(t, err)
			// And once more under another token.
			ctx, err = manager.Load(t.Context(), token)
			require.NoError(t, err)
			require.NoError(t, manager.RenewToken(ctx))
			token, _, err = manager.Commit(ctx)
			require.NoError(t, err)
			return func() bool {
				_, found, err := ofSCS.Find(token)
				require.NoError(t, err)
				return found
			}
		}
	}
	return map[string]func(*oidclogin.Identity) func() bool{
		"native": func(id *oidclogin.Identity) func() bool {
			token := p.login(t, id)
			return func() bool {
				_, err := p.store.Get(t.Context(), token)
				return err == nil
			}
		},
		"scs": inSCS(true), "scs, without a renewal": inSCS(false),
		"gorilla": func(id *oidclogin.Identity) func() bool {
			r, w := httptest.NewRequest("GET", "/", http.NoBody), httptest.NewRecorder()
			session, err := ofGorilla.New(r, "visit")
			require.NoError(t, err)
			session.Values["cart"] = 1
			require.NoError(t, session.Save(r, w))
			require.NoError(t, ofGorilla.BeginLogin(t.Context(), session, "user of "+id.Subject))
			ofGorilla.FromProvider(session, id.Issuer, id.SID)
			session.Values["user"] = "user of " + id.Subject
			require.NoError(t, session.Save(r, w))
			return func() bool {
				_, err := ofGorilla.Sessions().Get(t.Context(), ofGorilla.Token(session.ID))
				return err == nil
			}
		},
	}
}

func (p *pod) logout(t *testing.T, token string) int {
	t.Helper()
	r := httptest.NewRequest("POST", "/backchannel-logout", strings.NewReader(url.Values{"logout_token": {token}}.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	p.BackChannelLogout().ServeHTTP(w, r)
	require.Equal(t, "no-store", w.Header().Get("Cache-Control"))
	return w.Code
}

// The provider ends one session by its sid, and all of a subject; neither of the others. A token works once.
func TestBackChannelLogout(t *testing.T) {
	t.Parallel()
	idp := oidctest.New(t, registered)
	pods := setup(t, idp, 2, nil)
	for name, begin := range faces(t, pods[0]) {
		b := &browser{t: t}
		login := func(subject, sid string) func() bool {
			id, err := b.finish(pods[0], idp.Authorize(b.begin(pods[0], nil), subject, sid))
			require.NoError(t, err)
			valid := begin(id)
			require.True(t, valid(), name)
			return valid
		}
		subject := "s of " + name
		first, second, other := login(subject, "1 "+name), login(subject, "2 "+name), login("other "+name, "3 "+name)

		require.Equal(t, http.StatusOK, pods[1].logout(t, idp.LogoutToken(subject, "1 "+name, nil)))
		storetest.Eventually(t, func() bool { return !first() }, name)
		require.True(t, second(), name)

		token := idp.LogoutToken(subject, "", nil)
		require.Equal(t, http.StatusOK, pods[1].logout(t, token))
		storetest.Eventually(t, func() bool { return !second() }, name)
		require.True(t, other(), name)

		again := login(subject, "4 "+name)
		for _, p := range pods {
			require.Equal(t, http.StatusBadRequest, p.logout(t, token), "used before, on whatever pod")
		}
		require.True(t, again(), "a replayed token ends nothing")
	}
}

// A login that is under way when its sid is ended becomes no session.
func TestLogoutDuringLogin(t *testing.T) {
	t.Parallel()
	idp := oidctest.New(t, registered)
	pods := setup(t, idp, 1, nil)
	b := &browser{t: t}
	id, err := b.finish(pods[0], idp.Authorize(b.begin(pods[0], nil), "s", "early"))
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, pods[0].logout(t, idp.LogoutToken("s", "early", nil)))
	login, err := pods[0].store.BeginLogin(t.Context(), "ann")
	require.NoError(t, err)
	o := id.CreateOptions()
	_, _, err = pods[0].store.Create(t.Context(), login, "data", &o)
	require.ErrorIs(t, err, sessionstore.ErrLoginEnded)
}

func TestLogoutTokensThatAreNone(t *testing.T) {
	t.Parallel()
	idp, stranger := oidctest.New(t, registered), oidctest.New(t, registered)
	pods := setup(t, idp, 1, nil)
	b := &browser{t: t}
	id, err := b.finish(pods[0], idp.Authorize(b.begin(pods[0], nil), "s", "sid"))
	require.NoError(t, err)
	token := pods[0].login(t, id)

	changed := func(change func(map[string]any)) string { return idp.LogoutToken("s", "sid", change) }
	good := strings.Split(idp.LogoutToken("s", "sid", nil), ".")
	tokens := map[string]string{
		"an ID token":     idp.Sign(map[string]any{"iss": idp.Issuer(), "aud": registered.ClientID, "sub": "s", "iat": time.Now().Unix(), "exp": time.Now().Add(time.Minute).Unix()}, "JWT"),
		"the login's own": id.IDToken,
		"a nonce":         changed(func(c map[string]any) { c["nonce"] = "n" }),
		"no event":        changed(func(c map[string]any) { delete(c, "events") }),
		"another event":   changed(func(c map[string]any) { c["events"] = map[string]any{"other": map[string]any{}} }),
		"an event of null": changed(func(c map[string]any) {
			c["events"] = map[string]any{"http://schemas.openid.net/event/backchannel-logout": nil}
		}),
		"no id":             changed(func(c map[string]any) { delete(c, "jti") }),
		"no time":           changed(func(c map[string]any) { delete(c, "iat") }),
		"too old":           changed(func(c map[string]any) { c["iat"] = time.Now().Add(-time.Hour).Unix() }),
		"in the future":     changed(func(c map[string]any) { c["iat"] = time.Now().Add(time.Hour).Unix() }),
		"expired":           changed(func(c map[string]any) { c["exp"] = time.Now().Add(-time.Minute).Unix() }),
		"another audience":  changed(func(c map[string]any) { c["aud"] = "them" }),
		"another issuer":    changed(func(c map[string]any) { c["iss"] = stranger.Issuer() }),
		"nobody":            idp.LogoutToken("", "", nil),
		"another type":      idp.Sign(map[string]any{"iss": idp.Issuer(), "aud": registered.ClientID, "sub": "s", "jti": "1", "iat": time.Now().Unix()}, "at+jwt"),
		"a stranger's":      stranger.LogoutToken("s", "sid", func(c map[string]any) { c["iss"] = idp.Issuer() }),
		"no signature":      good[0] + "." + good[1] + ".",
		"no algorithm":      base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + good[1] + ".",
		"nothing":           "",
		"no token":          "a.b.c",
		"a changed subject": good[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"other"}`)) + "." + good[2],
	}
	for name, text := range tokens {
		require.Equal(t, http.StatusBadRequest, pods[0].logout(t, text), name)
	}
	_, err = pods[0].store.Get(t.Context(), token)
	require.NoError(t, err)

	w := httptest.NewRecorder()
	pods[0].BackChannelLogout().ServeHTTP(w, httptest.NewRequest("GET", "/backchannel-logout", http.NoBody))
	require.Equal(t, http.StatusMethodNotAllowed, w.Code)
}

// What could not be done is tried again: the token is not used up, and the provider hears 503.
func TestLogoutThatFails(t *testing.T) {
	t.Parallel()
	idp := oidctest.New(t, registered)
	fail := true
	pods := setup(t, idp, 1, func(c *oidclogin.Config) {
		c.Users = func(ctx context.Context, issuer, subject string) ([]string, error) {
			if fail {
				return nil, context.DeadlineExceeded
			}
			return usersOf(ctx, issuer, subject)
		}
	})
	token := idp.LogoutToken("s", "", nil)
	require.Equal(t, http.StatusServiceUnavailable, pods[0].logout(t, token))
	fail = false
	require.Equal(t, http.StatusOK, pods[0].logout(t, token))

	pods = setup(t, idp, 1, func(c *oidclogin.Config) { c.Users = nil })
	require.Equal(t, http.StatusNotImplemented, pods[0].logout(t, idp.LogoutToken("s", "", nil)))
	require.Equal(t, http.StatusOK, pods[0].logout(t, idp.LogoutToken("s", "sid", nil)))
}

func TestLocalPath(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"/a?b=c#d": "/a?b=c#d", "/": "/", "": "/", "a": "/", "//other.example": "/", "/\\other.example": "/", "https://other.example/": "/",
		"/a\r\nSet-Cookie: x": "/", "\\\\other.example": "/", "javascript:alert(1)": "/", "/a//b": "/a//b", "/%2f/other": "/%2f/other",
	} {
		require.Equal(t, want, oidclogin.LocalPath(path), path)
	}
}

func TestConfigIsChecked(t *testing.T) {
	t.Parallel()
	idp := oidctest.New(t, registered)
	pods := setup(t, idp, 1, nil)
	for field, change := range map[string]func(*oidclogin.Config){
		"Issuer":                 func(c *oidclogin.Config) { c.Issuer = "idp" },
		"RedirectURL":            func(c *oidclogin.Config) { c.RedirectURL = "" },
		"Insecure":               func(c *oidclogin.Config) { c.Insecure = false },
		"ClientID":               func(c *oidclogin.Config) { c.ClientID = "" },
		"AttemptTTL":             func(c *oidclogin.Config) { c.AttemptTTL = 1 },
		"Timeout":                func(c *oidclogin.Config) { c.Timeout = -1 },
		"MaxLogoutAge":           func(c *oidclogin.Config) { c.MaxLogoutAge = 1 },
		"AttemptTTL: 2562047h":   func(c *oidclogin.Config) { c.AttemptTTL = math.MaxInt64 },
		"MaxLogoutAge: 2562047h": func(c *oidclogin.Config) { c.MaxLogoutAge = math.MaxInt64 },
	} {
		cfg := configOf(idp)
		change(cfg)
		_, err := oidclogin.New(pods[0].store, cfg)
		require.ErrorIs(t, err, oidclogin.ErrConfig)
		require.ErrorContains(t, err, field)
	}

	_, err := oidclogin.New(nil, configOf(idp))
	require.ErrorIs(t, err, oidclogin.ErrConfig)
	_, err = oidclogin.New(pods[0].store, nil)
	require.ErrorIs(t, err, oidclogin.ErrConfig)
}

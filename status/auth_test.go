package status_test

import (
	"errors"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/status"
)

// private are the paths that tell something of the pod.
var private = []string{"/", "/status", "/metrics", "/events"}

func TestClosedByDefault(t *testing.T) {
	t.Parallel()
	h := newHandler(t, newFakeBus().live(), nil)
	for _, path := range append(private, "/app.js", "/style.css") {
		code, body, _ := get(t, h, path, bearer(token)...)
		require.Equal(t, http.StatusForbidden, code, path)
		require.Equal(t, "status: closed: set Config.Token, or Config.Authorize if something of yours protects this path\n", body)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/login", strings.NewReader("token=")))
	require.Equal(t, http.StatusForbidden, w.Code, "an empty token is not one")
}

func TestToken(t *testing.T) {
	t.Parallel()
	b := newFakeBus().live()
	h := newHandler(t, b, &status.Config{Token: token, Name: "web-1"})
	for _, path := range private {
		for name, headers := range map[string][]string{
			"none": nil, "wrong": bearer("wrong"), "empty": bearer(""), "longer": bearer(token + "x"), "basic": {"Authorization", "Basic " + token},
			"bad cookie": {"Cookie", "pgcoherence_status=AAAA"}, "token as cookie": {"Cookie", "pgcoherence_status=" + token},
			"in the address": nil,
		} {
			at := path
			if name == "in the address" {
				at += "?token=" + url.QueryEscape(token) + "&access_token=" + url.QueryEscape(token)
			}

			code, body, head := get(t, h, at, headers...)
			require.Equal(t, http.StatusUnauthorized, code, "%s %s", path, name)
			require.NotContains(t, body, "web-1")
			require.NotContains(t, body, token)

			if path != "/" {
				require.Contains(t, head.Get("WWW-Authenticate"), "Bearer")
			}
		}
	}

	for _, path := range []string{"/", "/status", "/metrics"} {
		code, _, _ := get(t, h, path, bearer(token)...)
		require.Equal(t, http.StatusOK, code, path)
	}

	code, _, _ := get(t, newHandler(t, newFakeBus(), &status.Config{PublicMetrics: true}), "/metrics")
	require.Equal(t, http.StatusOK, code)
}

func TestAuthorize(t *testing.T) {
	t.Parallel()

	h := newHandler(t, newFakeBus(), &status.Config{Token: token, Authorize: func(r *http.Request) error {
		if r.Header.Get("X-User") != "root" {
			return errors.New("secret reason")
		}
		return nil
	}})
	code, body, _ := get(t, h, "/status")
	require.Equal(t, http.StatusForbidden, code)
	require.NotContains(t, body, "secret reason")
	code, _, _ = get(t, h, "/status", "X-User", "root")
	require.Equal(t, http.StatusOK, code)
	code, _, _ = get(t, h, "/status", bearer(token)...)
	require.Equal(t, http.StatusOK, code, "either will do")
	code, _, _ = get(t, newHandler(t, newFakeBus(), &status.Config{Authorize: status.Unprotected}), "/")
	require.Equal(t, http.StatusOK, code)
}

// TestLogin goes through the form as a browser does, below a prefix that the handler does not know.
func TestLogin(t *testing.T) {
	t.Parallel()
	h := newHandler(t, newFakeBus().live(), &status.Config{Token: token})
	mux := http.NewServeMux()
	mux.Handle("/inner/status/", http.StripPrefix("/inner/status", h))
	server := httptest.NewServer(mux)
	defer server.Close()
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	client := &http.Client{Jar: jar, Transport: server.Client().Transport}
	post := func(path string, form url.Values, headers ...string) (code int, at string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/inner/status/"+path, strings.NewReader(form.Encode()))
		require.NoError(t, err)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		for i := 0; i < len(headers); i += 2 {
			r.Header.Set(headers[i], headers[i+1])
		}
		answer, err := client.Do(r)
		require.NoError(t, err)
		require.NoError(t, answer.Body.Close())
		return answer.StatusCode, answer.Request.URL.String()
	}
	status := func() int {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/inner/status/status", http.NoBody)
		require.NoError(t, err)
		answer, err := client.Do(r)
		require.NoError(t, err)
		require.NoError(t, answer.Body.Close())
		return answer.StatusCode
	}
	code, _ := post("login", url.Values{"token": {"wrong"}})
	require.Equal(t, http.StatusUnauthorized, code)
	require.Equal(t, http.StatusUnauthorized, status())
	code, _ = post("login?token="+url.QueryEscape(token), nil)
	require.Equal(t, http.StatusUnauthorized, code, "the address is in logs")
	code, _ = post("login", url.Values{"token": {token}}, "Sec-Fetch-Site", "cross-site")
	require.Equal(t, http.StatusForbidden, code)

	code, place := post("login", url.Values{"token": {token}}) // the client follows the redirect
	require.Equal(t, http.StatusOK, code)
	require.Equal(t, server.URL+"/inner/status/", place)
	require.Equal(t, http.StatusOK, status())
	at, err := url.Parse(server.URL)
	require.NoError(t, err)
	require.Empty(t, jar.Cookies(at), "the rest of the server does not get the cookie")

	code, _ = post("logout", nil)
	require.Equal(t, http.StatusUnauthorized, code, "the login form again")
	require.Equal(t, http.StatusUnauthorized, status())
}

func TestCookie(t *testing.T) {
	t.Parallel()
	login := func(h *status.Handler, headers ...string) *http.Cookie {
		t.Helper()
		w := httptest.NewRecorder()
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/login", strings.NewReader(url.Values{"token": {token}}.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		for i := 0; i < len(headers); i += 2 {
			r.Header.Set(headers[i], headers[i+1])
		}
		h.ServeHTTP(w, r)
		require.Len(t, w.Result().Cookies(), 1)
		return w.Result().Cookies()[0]
	}
	h := newHandler(t, newFakeBus(), &status.Config{Token: token})
	c := login(h)
	require.True(t, c.HttpOnly)
	require.Equal(t, http.SameSiteStrictMode, c.SameSite)
	require.Empty(t, c.Path)
	require.False(t, c.Secure)
	require.NotContains(t, c.Value, token)
	require.True(t, login(h, "X-Forwarded-Proto", "https").Secure)

	get := func(h *status.Handler, value string) int {
		t.Helper()
		code, _, _ := get(t, h, "/status", "Cookie", c.Name+"="+value)
		return code
	}
	require.Equal(t, http.StatusOK, get(h, c.Value))
	require.Equal(t, http.StatusOK, get(newHandler(t, newFakeBus(), &status.Config{Token: token}), c.Value), "another pod")
	require.Equal(t, http.StatusUnauthorized, get(newHandler(t, newFakeBus(), &status.Config{Token: token + "!"}), c.Value), "another token")
	require.Equal(t, http.StatusUnauthorized, get(h, "B"+c.Value[1:]), "a later end")
	forged := c.Value[:len(c.Value)-8] + "AAAAAAAA"
	if forged == c.Value {
		forged = c.Value[:len(c.Value)-8] + "BBBBBBBB"
	}
	require.Equal(t, http.StatusUnauthorized, get(h, forged))

	status.SetClock(h, 13)
	require.Equal(t, http.StatusUnauthorized, get(h, c.Value), "it ends")
}

func FuzzCookie(f *testing.F) {
	h, err := status.New(newFakeBus(), &status.Config{Token: token, Logger: quiet})
	if err != nil {
		f.Fatal(err)
	}
	f.Add("")
	f.Add("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
	f.Fuzz(func(t *testing.T, value string) {
		require.False(t, status.RightCookie(h, value), "nobody guesses one")
	})
}

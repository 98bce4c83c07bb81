package main

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"golang.org/x/crypto/bcrypt"

	"github.com/pgcoherence/pgcoherence/examples/internal/demo"
	"github.com/pgcoherence/pgcoherence/examples/internal/demo/demotest"
	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// browser is a client with cookies.
type browser struct {
	t    *testing.T
	site *site
	name string
	http *http.Client
	last *http.Cookie // the session cookie that was set last
}

func newBrowser(t *testing.T, s *site, name string) *browser {
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	return &browser{t: t, site: s, name: name, http: &http.Client{
		Jar: jar, Transport: &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// open sends a request to a pod, or to the next one. A change may alter it.
func (b *browser) open(method, path, pod string, form url.Values, change func(*http.Request)) *http.Response {
	r, err := http.NewRequestWithContext(b.t.Context(), method, b.site.url+path, strings.NewReader(form.Encode()))
	require.NoError(b.t, err)
	r.Header.Set("User-Agent", b.name)
	r.Header.Set(podHeader, pod)

	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", b.site.url)
	}

	if change != nil {
		change(r)
	}

	response, err := b.http.Do(r)
	require.NoError(b.t, err)

	for _, c := range response.Cookies() {
		if strings.HasPrefix(c.Name, "session-") && c.MaxAge >= 0 {
			b.last = c
		}
	}

	return response
}

// do requires a status and returns the body.
func (b *browser) do(want int, method, path string, form url.Values, change func(*http.Request)) string {
	response := b.open(method, path, "", form, change)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(b.t, err)
	require.Equal(b.t, want, response.StatusCode, "%s %s: %s", method, path, body)
	return string(body)
}

func (b *browser) login(want int, name, password string) string {
	return b.do(want, http.MethodPost, "/login", url.Values{"name": {name}, "password": {password}}, nil)
}

func (b *browser) post(want int, path string) { b.do(want, http.MethodPost, path, nil, nil) }

// requireAdmitted asks every pod whether it lets this browser's last cookie in.
func (b *browser) requireAdmitted(want bool) {
	b.t.Helper()
	for _, p := range b.site.pods {
		response := newBrowser(b.t, b.site, "stranger").open(http.MethodGet, "/me", p.name, nil, func(r *http.Request) { r.AddCookie(b.last) })
		require.NoError(b.t, response.Body.Close())
		require.Equal(b.t, want, response.StatusCode == http.StatusOK, "%s on pod %s", b.name, p.name)
	}
}

// stream opens the stream of events on a pod. The function waits for its end.
func (b *browser) stream(pod string) (requireOver func()) {
	response := b.open(http.MethodGet, "/events", pod, nil, nil) //nolint:bodyclose // requireOver does
	lines := bufio.NewScanner(response.Body)
	require.True(b.t, lines.Scan())
	require.Equal(b.t, "event: time", lines.Text())
	return func() {
		defer response.Body.Close()

		last := ""
		for lines.Scan() {
			if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				last = data
			}
		}

		require.NoError(b.t, lines.Err())
		require.Equal(b.t, "ended", last)
	}
}

func TestLogin(t *testing.T) {
	t.Parallel()
	pgtest.RequireBinaries(t)
	server, err := pgtest.Start(t.Context(), &pgtest.Config{Logger: demo.Quiet()})
	require.NoError(t, err)
	db, err := demo.OpenDatabase(t.Context(), server, "login", nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	s, err := openSite(t.Context(), db, demo.Quiet())
	require.NoError(t, err)
	defer func() { require.NoError(t, s.close()) }()
	laptop, phone, tablet, kiosk := newBrowser(t, s, "laptop"), newBrowser(t, s, "phone"), newBrowser(t, s, "tablet"), newBrowser(t, s, "kiosk")

	// A login on one pod is known on all.
	require.Contains(t, laptop.do(http.StatusOK, http.MethodGet, "/", nil, nil), "<h1>Log in")
	require.Equal(t, laptop.login(http.StatusForbidden, "alice", "wrong"), laptop.login(http.StatusForbidden, "mallory", "wrong"))
	laptop.login(http.StatusSeeOther, "alice", s.passwords["alice"])
	laptop.requireAdmitted(true)
	require.Contains(t, laptop.do(http.StatusOK, http.MethodGet, "/", nil, nil), "<h1>Alice Liddell")

	// What another site makes the browser send is refused, and what is not there has a page for people, a line for programs.
	laptop.do(http.StatusForbidden, http.MethodPost, "/logout/everywhere", nil, func(r *http.Request) { r.Header.Set("Origin", "https://elsewhere.example") })
	html := func(r *http.Request) { r.Header.Set("Accept", "text/html") }
	require.Contains(t, laptop.do(http.StatusNotFound, http.MethodGet, "/elsewhere", nil, html), "<h1>Not Found")
	require.Equal(t, "no such page\n", laptop.do(http.StatusNotFound, http.MethodGet, "/elsewhere", nil, nil))
	require.Contains(t, kiosk.do(http.StatusForbidden, http.MethodPost, "/login", url.Values{"name": {"bob"}}, html), `value="bob"`)

	// One device is ended from another, and its stream with it.
	phone.login(http.StatusSeeOther, "alice", s.passwords["alice"])
	phoneOver := phone.stream("C")
	var all []device
	require.NoError(t, json.Unmarshal([]byte(laptop.do(http.StatusOK, http.MethodGet, "/me", nil, nil)), &all))
	require.Len(t, all, 2)
	for _, d := range all {
		require.Equal(t, d.Current, d.Name() == "laptop")
		if !d.Current {
			laptop.post(http.StatusSeeOther, "/devices/"+d.ID.String()+"/end")
			phone.requireAdmitted(false)
			phoneOver()
			require.Contains(t, laptop.do(http.StatusOK, http.MethodGet, "/", nil, nil), "The session has ended")
			laptop.post(http.StatusNotFound, "/devices/"+d.ID.String()+"/end")
		}
	}

	// A logout is one on all pods; one everywhere, of all devices, and of nobody else's.
	phone.login(http.StatusSeeOther, "alice", s.passwords["alice"])
	phone.post(http.StatusSeeOther, "/logout")
	phone.requireAdmitted(false)
	kiosk.login(http.StatusSeeOther, "bob", s.passwords["bob"])
	var over []func()
	for i, b := range []*browser{laptop, phone, tablet} {
		b.login(http.StatusSeeOther, "alice", s.passwords["alice"])
		over = append(over, b.stream(s.pods[i].name))
	}
	require.Contains(t, phone.do(http.StatusOK, http.MethodGet, "/logout/everywhere", nil, nil), "Your 3 sessions end")
	phone.post(http.StatusSeeOther, "/logout/everywhere")
	for i, b := range []*browser{laptop, phone, tablet} {
		b.requireAdmitted(false)
		over[i]()
	}
	kiosk.requireAdmitted(true)
}

// TestRun builds the example and runs it as a person would: nothing is left behind.
func TestRun(t *testing.T) {
	demotest.RequireCommandLines(t, run, []demotest.CommandLine{
		{Args: []string{"-twice"}, Code: 2, Says: "flag provided but not defined: -twice"},
		{Args: []string{"-h"}, Code: 0, Says: "show the pods' logs"},
	})
	out := demotest.Build(t, "login").Interrupt(t, regexp.MustCompile("^Then end one browser's session"))
	require.Regexp(t, `(?m)^   alice +password [a-z2-7]{12}$`, out.Story)
	demotest.RequireSilence(t, regexp.MustCompile(`localhost:\d+`).FindAllString(out.Story, -1))
	out.RequireNoFiles(t)
}

// TestNoMember: the hash for unknown names is one, and takes as long as the others.
func TestNoMember(t *testing.T) {
	t.Parallel()
	require.ErrorIs(t, bcrypt.CompareHashAndPassword([]byte(noMember), []byte("password")), bcrypt.ErrMismatchedHashAndPassword)
	cost, err := bcrypt.Cost([]byte(noMember))
	require.NoError(t, err)
	require.Equal(t, bcrypt.DefaultCost, cost)
}

// TestDeviceName: lists show what people call their browsers.
func TestDeviceName(t *testing.T) {
	t.Parallel()
	for agent, want := range map[string]string{
		"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Safari/537.36":                   "Chrome on Linux",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Safari/537.36 Edg/140": "Edge on Windows",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605 (KHTML, like Gecko) Version/19.0 Safari/604":  "Safari on iPhone",
		"laptop": "laptop",
	} {
		d := device{}
		d.Device.UserAgent = agent
		require.Equal(t, want, d.Name())
	}
}

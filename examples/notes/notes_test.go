package main_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/internal/lab/oidctest"
	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
)

const patience = 30 * time.Second

var binary string

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	folder, err := os.MkdirTemp("", "notes")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(folder)
	binary = filepath.Join(folder, "notes")
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil { //nolint:noctx // before any test
		panic(string(out))
	}
	return pgtest.Main(m).Run()
}

// pod is one process.
type pod struct {
	cmd *exec.Cmd
	url string
}

func command(t *testing.T, env []string, args ...string) *exec.Cmd {
	t.Helper()
	c := exec.CommandContext(t.Context(), binary, args...)
	c.Env = append([]string{
		"PATH=" + os.Getenv("PATH"), "NOTES_INSECURE_COOKIES=true", "NOTES_DRAIN=50ms", "NOTES_ADMIN_TOKEN=sixteen-characters-or-more",
	}, env...)
	c.Stderr = t.Output()
	return c
}

func start(t *testing.T, env ...string) *pod {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := l.Addr().String()
	require.NoError(t, l.Close())
	p := &pod{command(t, append(env, "NOTES_ADDR="+address)), "http://" + address}
	require.NoError(t, p.cmd.Start())

	require.Eventually(t, func() bool {
		r, err := http.Get(p.url + "/_status/readyz") //nolint:noctx // until it listens
		if err != nil {
			return false
		}
		_ = r.Body.Close()
		return r.StatusCode == http.StatusOK
	}, patience, 10*time.Millisecond)

	return p
}

func (p *pod) end(t *testing.T) {
	t.Helper()
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
	require.NoError(t, p.cmd.Wait())
}

// browser keeps its cookies for all pods, as behind one address.
type browser struct {
	t   *testing.T
	jar http.CookieJar
}

func newBrowser(t *testing.T) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	return &browser{t, jar}
}

func (b *browser) do(r *http.Request) (int, string) {
	b.t.Helper()
	host := &url.URL{Scheme: "http", Host: "notes"}
	for _, c := range b.jar.Cookies(host) {
		r.AddCookie(c)
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Do(r)
	require.NoError(b.t, err)
	defer response.Body.Close()
	b.jar.SetCookies(host, response.Cookies())
	body, err := io.ReadAll(response.Body)
	require.NoError(b.t, err)
	return response.StatusCode, string(body)
}

func (b *browser) get(p *pod, path string) (int, string) {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, p.url+path, http.NoBody)
	require.NoError(b.t, err)
	return b.do(r)
}

func (b *browser) post(p *pod, path string, fields ...string) (int, string) {
	b.t.Helper()
	form := url.Values{}
	for i := 0; i < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	r, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, p.url+path, strings.NewReader(form.Encode()))
	require.NoError(b.t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return b.do(r)
}

func (b *browser) attach(p *pod, id, name, data string) int {
	b.t.Helper()
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	part, err := w.CreateFormFile("file", name)
	require.NoError(b.t, err)
	_, _ = part.Write([]byte(data))
	require.NoError(b.t, w.Close())
	r, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, p.url+"/notes/"+id+"/attachments", &body)
	require.NoError(b.t, err)
	r.Header.Set("Content-Type", w.FormDataContentType())
	code, _ := b.do(r)
	return code
}

func (b *browser) theme(p *pod) string {
	b.t.Helper()
	code, body := b.get(p, "/api/me")
	require.Equal(b.t, http.StatusOK, code, body)
	var me struct{ Theme string }
	require.NoError(b.t, json.Unmarshal([]byte(body), &me))
	return me.Theme
}

var noteID = regexp.MustCompile(`/notes/([0-9a-f-]{36})/delete`)

// story is what a user does, one step on this pod, the next on that.
func story(t *testing.T, a, b *pod) {
	t.Helper()
	u := newBrowser(t)
	code, _ := u.get(a, "/")
	require.Equal(t, http.StatusSeeOther, code, "to log in")
	code, _ = u.get(a, "/api/me")
	require.Equal(t, http.StatusUnauthorized, code)
	code, body := u.post(a, "/signup", "name", "ann", "password", "correct horse")
	require.Equal(t, http.StatusSeeOther, code, body)
	code, _ = newBrowser(t).post(b, "/signup", "name", "ann", "password", "another one")
	require.Equal(t, http.StatusConflict, code)
	code, body = newBrowser(t).post(b, "/login", "name", "ann", "password", "wrong")
	require.Equal(t, http.StatusUnauthorized, code)
	require.Contains(t, body, "Wrong name or password.")
	require.Contains(t, body, `value="ann"`, "the form again, with what was typed")
	code, _ = newBrowser(t).post(b, "/login", "name", "nobody", "password", "wrong")
	require.Equal(t, http.StatusUnauthorized, code)

	// What one pod has begun the other goes on with.
	code, body = u.post(b, "/notes", "body", "milk & <b>bread</b>")
	require.Equal(t, http.StatusSeeOther, code, body)
	code, body = u.get(a, "/")
	require.Equal(t, http.StatusOK, code)
	require.Contains(t, body, "milk &amp; &lt;b&gt;bread&lt;/b&gt;")
	id := noteID.FindStringSubmatch(body)[1]
	for i := range 10 {
		require.Equal(t, http.StatusSeeOther, u.attach([]*pod{a, b}[i%2], id, fmt.Sprintf("file %d.txt", i), "contents"))
	}
	require.Equal(t, http.StatusConflict, u.attach(b, id, "eleven.txt", ""))
	_, body = u.get(b, "/notes/"+id+"/attachments/file%200.txt")
	require.Equal(t, "contents", body)

	require.Equal(t, "auto", u.theme(b))
	code, _ = u.post(a, "/settings", "theme", "dark")
	require.Equal(t, http.StatusSeeOther, code)
	require.Equal(t, "dark", u.theme(a), "read your writes")
	require.Eventually(t, func() bool { return u.theme(b) == "dark" }, patience, time.Millisecond)

	// Somebody else sees nothing of it.
	other := newBrowser(t)
	code, _ = other.post(b, "/signup", "name", "bob", "password", "correct horse")
	require.Equal(t, http.StatusSeeOther, code)
	code, _ = other.get(a, "/notes/"+id+"/attachments/file%200.txt")
	require.Equal(t, http.StatusNotFound, code)
	_, _ = other.post(a, "/notes/"+id+"/delete")
	_, body = u.get(a, "/")
	require.Contains(t, body, "milk")

	// A second device, and the end of both.
	second := newBrowser(t)
	code, _ = second.post(b, "/login", "name", "ann", "password", "correct horse")
	require.Equal(t, http.StatusSeeOther, code)
	code, _ = second.post(b, "/logout", "everywhere", "1")
	require.Equal(t, http.StatusSeeOther, code)
	for _, p := range []*pod{a, b} {
		code, _ = u.get(p, "/api/me")
		require.Equal(t, http.StatusUnauthorized, code)
	}
	code, _ = u.get(a, "/_status/status")
	require.Equal(t, http.StatusUnauthorized, code, "for administrators")
}

// TestSSO: a login at an identity provider begins on one pod and ends on another, and so does the end of its session.
func TestSSO(t *testing.T) {
	t.Parallel()
	idp := oidctest.New(t, oidctest.Application{ClientID: "notes", ClientSecret: "secret", RedirectURL: "http://notes.example/login/sso/callback"})
	env := []string{
		"PGCOHERENCE_DATABASE_URL=" + pgtest.New(t, nil).DSN, "NOTES_OIDC_ISSUER=" + idp.Issuer(),
		"NOTES_OIDC_CLIENT_ID=notes", "NOTES_OIDC_CLIENT_SECRET=secret", "NOTES_OIDC_REDIRECT_URL=http://notes.example/login/sso/callback",
	}
	require.NoError(t, command(t, env, "migrate").Run())
	a, b := start(t, env...), start(t, env...)
	begin := func(u *browser, p *pod) (address string) {
		t.Helper()
		code, body := u.post(p, "/login/sso")
		require.Equal(t, http.StatusOK, code, body)
		link := regexp.MustCompile(`href="(http[^"]*/authorize[^"]*)"`).FindStringSubmatch(body)
		require.NotNil(t, link, body)
		return html.UnescapeString(link[1])
	}
	finish := func(u *browser, p *pod, address, sid string) int {
		t.Helper()
		code, _ := u.get(p, idp.Authorize(address, "subject of ann", sid).RequestURI())
		return code
	}

	// Begun on a, finished on b, known on both, by the name that the provider says.
	u := newBrowser(t)
	require.Equal(t, http.StatusSeeOther, finish(u, b, begin(u, a), "first"))
	for _, p := range []*pod{a, b} {
		code, body := u.get(p, "/")
		require.Equal(t, http.StatusOK, code)
		require.Contains(t, body, `<span class="who">Ann</span>`)
	}
	code, _ := u.post(a, "/settings", "theme", "dark")
	require.Equal(t, http.StatusSeeOther, code)

	// A second device has the same account. A response for it is of no use to another browser.
	second := newBrowser(t)
	require.Equal(t, http.StatusSeeOther, finish(second, a, begin(second, b), "second"))
	require.Equal(t, "dark", second.theme(a))
	require.Equal(t, http.StatusBadRequest, finish(newBrowser(t), b, begin(second, a), "third"))
	code, _ = newBrowser(t).post(a, "/signup", "name", "sso-0123456789abcdef", "password", "correct horse")
	require.Equal(t, http.StatusBadRequest, code, "names of the provider's accounts are not to be had")

	// The provider ends one of its sessions, on b, and then all of the user.
	in := func(u *browser, p *pod) bool {
		t.Helper()
		code, _ := u.get(p, "/api/me")
		return code == http.StatusOK
	}
	code, body := newBrowser(t).post(b, "/login/sso/logout", "logout_token", idp.LogoutToken("subject of ann", "first", nil))
	require.Equal(t, http.StatusOK, code, body)
	for _, p := range []*pod{a, b} {
		require.Eventually(t, func() bool { return !in(u, p) }, patience, time.Millisecond)
		require.True(t, in(second, p))
	}
	code, body = newBrowser(t).post(b, "/login/sso/logout", "logout_token", idp.LogoutToken("subject of ann", "", nil))
	require.Equal(t, http.StatusOK, code, body)
	for _, p := range []*pod{a, b} {
		require.Eventually(t, func() bool { return !in(second, p) }, patience, time.Millisecond)
	}

	// Without the provider there is a page that says so.
	idp.SetDown(true)
	c := start(t, env...)
	code, body = u.post(c, "/login/sso")
	require.Equal(t, http.StatusServiceUnavailable, code)
	require.Contains(t, body, "That did not work")
	require.NotContains(t, body, idp.Issuer())
}

// TestOneProcess needs no database server, and keeps everything over a restart.
func TestOneProcess(t *testing.T) {
	t.Parallel()
	env := "NOTES_SQLITE=file:" + filepath.Join(t.TempDir(), "notes.db") + "?_pragma=busy_timeout(5000)"
	p := start(t, env)
	story(t, p, p)
	u := newBrowser(t)
	code, _ := u.post(p, "/login", "name", "bob", "password", "correct horse")
	require.Equal(t, http.StatusSeeOther, code)
	p.end(t)

	again := start(t, env)
	code, _ = u.get(again, "/api/me")
	require.Equal(t, http.StatusOK, code, "still logged in")
	again.end(t)
}

// TestManyPods is the same binary on Postgres.
func TestManyPods(t *testing.T) {
	t.Parallel()
	dsn := "PGCOHERENCE_DATABASE_URL=" + pgtest.New(t, nil).DSN
	require.Error(t, command(t, []string{dsn}).Run(), "nobody has migrated")
	for range 2 {
		require.NoError(t, command(t, []string{dsn}, "migrate").Run())
	}
	a, b := start(t, dsn, "PGCOHERENCE_POD_NAME=a"), start(t, dsn, "PGCOHERENCE_POD_NAME=b")
	story(t, a, b)

	// A stream is told that its pod ends, and the end waits for nobody.
	u := newBrowser(t)
	code, _ := u.post(a, "/login", "name", "bob", "password", "correct horse")
	require.Equal(t, http.StatusSeeOther, code)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, b.url+"/api/events", http.NoBody)
	require.NoError(t, err)
	for _, c := range u.jar.Cookies(&url.URL{Scheme: "http", Host: "notes"}) {
		r.AddCookie(c)
	}
	stream, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer stream.Body.Close()
	first := make([]byte, 5)
	_, err = io.ReadFull(stream.Body, first)
	require.NoError(t, err)
	b.end(t)
	rest, err := io.ReadAll(stream.Body)
	require.NoError(t, err)
	require.Contains(t, string(rest), "goodbye")
	code, _ = u.get(a, "/api/me")
	require.Equal(t, http.StatusOK, code)
	a.end(t)
}

package browsertest_test

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/internal/lab/oidctest"
	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
)

// address is one that nothing listens on at the moment.
func address(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}

// notes runs the application of examples/notes on two pods. The identity provider sends browsers back to the second.
func notes(t *testing.T) (first, second string) {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "notes")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-C", "../../examples/notes", "-o", binary, ".").CombinedOutput()
	require.NoError(t, err, "%s", out)

	addresses := []string{address(t), address(t)}
	back := "http://" + addresses[1] + "/login/sso/callback"
	idp := oidctest.New(t, oidctest.Application{ClientID: "notes", ClientSecret: "secret", RedirectURL: back})
	run := func(args ...string) *exec.Cmd {
		c := exec.CommandContext(context.WithoutCancel(t.Context()), binary, args[1:]...) // ends in order, after the test
		c.Env = []string{
			"PATH=" + os.Getenv("PATH"), "NOTES_ADDR=" + args[0], "NOTES_INSECURE_COOKIES=true", "NOTES_DRAIN=10ms",
			"NOTES_OIDC_ISSUER=" + idp.Issuer(), "NOTES_OIDC_CLIENT_ID=notes", "NOTES_OIDC_CLIENT_SECRET=secret",
			"NOTES_OIDC_REDIRECT_URL=" + back, "PGCOHERENCE_POD_NAME=notes-" + strings.TrimPrefix(args[0], "127.0.0.1:"),
		}
		return c
	}
	dsn := "PGCOHERENCE_DATABASE_URL=" + pgtest.New(t, nil).DSN
	migrate := run("", "migrate")
	migrate.Env = append(migrate.Env, dsn)
	require.NoError(t, migrate.Run())

	for _, a := range addresses {
		var log bytes.Buffer
		c := run(a)
		c.Env = append(c.Env, dsn)
		c.Stderr = &log
		require.NoError(t, c.Start())
		t.Cleanup(func() {
			_ = c.Process.Signal(os.Interrupt)
			require.NoError(t, c.Wait(), log.String())
		})
		require.Eventually(t, func() bool {
			r, err := http.Get("http://" + a + "/_status/readyz") //nolint:noctx // until it listens
			if err != nil {
				return false
			}
			_ = r.Body.Close()
			return r.StatusCode == http.StatusOK
		}, patience, 20*time.Millisecond)
	}
	http.DefaultClient.CloseIdleConnections()
	return "http://" + addresses[0], "http://" + addresses[1]
}

// pictured takes the page on a desktop, in dark and on a phone.
func (b *browser) pictured(t *testing.T, dir, name string) {
	t.Helper()
	b.picture(t, dir, name, 1280, 800, "light")
	b.picture(t, dir, name+"-dark", 1280, 800, "dark")
	b.picture(t, dir, name+"-phone", 390, 844, "light")
}

// TestNotes is a person's way through the application of examples/notes: log in at an identity provider, whose redirect
// leads to another pod, write a note, attach a file, delete it, log out. The page has no script.
func TestNotes(t *testing.T) {
	dir := pictures(t)
	first, second := notes(t)
	b := startBrowser(t)

	b.do(t, chromedp.Navigate(first+"/login"), chromedp.WaitVisible(`form[action="/login/sso"] button`))
	b.pictured(t, dir, "notes-login")
	b.do(t, chromedp.SendKeys(`form[action="/login"] [name=name]`, "ann"), chromedp.SendKeys(`form[action="/login"] [name=password]`, "wrong\r"))
	b.await(t, `document.querySelector('[role="alert"]').textContent === "Wrong name or password."`, patience)
	require.True(t, b.has(t, `document.querySelector('form[action="/login"] [name=name]').value === "ann"`))
	b.pictured(t, dir, "notes-wrong")
	for _, complaint := range b.taken(t) {
		require.Contains(t, complaint, "401")
	}

	b.do(t, chromedp.Click(`form[action="/login/sso"] button`))
	b.await(t, `location.href === "`+second+`/" && document.querySelector(".who").textContent === "Ann"`, patience)
	b.pictured(t, dir, "notes-empty")

	for _, text := range []string{"Milk, bread, and a long-word-" + strings.Repeat("that-does-not-end-", 6), "Call the dentist\nand the one after\n\nTuesday would do."} {
		b.do(t, chromedp.SendKeys("textarea", text), chromedp.Click(`form[action="/notes"] button`))
		b.await(t, `[...document.querySelectorAll(".body")].some((e) => e.textContent.startsWith("`+text[:4]+`"))`, patience)
	}
	file := filepath.Join(t.TempDir(), "a list of things with a rather long name.txt")
	require.NoError(t, os.WriteFile(file, []byte("milk"), 0o600))
	b.do(t, chromedp.Click("article details summary"), chromedp.SetUploadFiles(`article [type=file]`, []string{file}))
	b.pictured(t, dir, "notes-attach")
	b.do(t, chromedp.Click("article details form button"))
	b.await(t, `document.querySelectorAll(".files a").length === 1`, patience)
	b.pictured(t, dir, "notes")

	b.do(t, chromedp.SetValue(`select[name="theme"]`, "dark"), chromedp.Click(`form[action="/settings"] button`))
	b.await(t, `document.documentElement.dataset.theme === "dark" && getComputedStyle(document.body).backgroundColor === "rgb(23, 24, 26)"`, patience)

	b.do(t, chromedp.Click("article:last-of-type details:last-of-type summary"), chromedp.Click("article:last-of-type .danger"))
	b.await(t, `document.querySelectorAll("article").length === 1`, patience)
	b.do(t, chromedp.Navigate(second+"/nothing"))
	b.do(t, chromedp.Navigate(second+"/"), chromedp.Click(`form[action="/logout"] button`))
	b.await(t, `location.pathname === "/login"`, patience)
	for _, complaint := range b.taken(t) {
		require.Contains(t, complaint, "404", "the page that is not there is all there is to complain about")
	}
}

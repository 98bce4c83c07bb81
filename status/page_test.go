package status_test

import (
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/status"
)

// TestPage: strict policy, and nothing in the files that would need a weaker one.
func TestPage(t *testing.T) {
	t.Parallel()
	h := newHandler(t, newFakeBus().live(), &status.Config{Token: token})
	for path, kind := range map[string]string{"/": "text/html", "/app.js": "javascript", "/style.css": "text/css", "/icon.svg": "image/svg"} {
		code, body, head := get(t, h, path, bearer(token)...)
		require.Equal(t, http.StatusOK, code, path)
		require.Contains(t, head.Get("Content-Type"), kind)
		require.Equal(t, "nosniff", head.Get("X-Content-Type-Options"))
		require.Equal(t, "no-store", head.Get("Cache-Control"))
		require.NotEmpty(t, body)

		if path == "/" {
			policy := head.Get("Content-Security-Policy")
			require.Contains(t, policy, "default-src 'none'")
			require.Contains(t, policy, "frame-ancestors 'none'")
			require.NotContains(t, policy, "unsafe")
			require.NotContains(t, policy, "http")
		}
	}

	for _, path := range []string{"/nothing", "/page/index.html", "/login", "/../handler.go"} {
		code, _, _ := get(t, h, path, bearer(token)...)
		require.NotEqual(t, http.StatusOK, code, path)
	}
}

func TestPageFiles(t *testing.T) {
	t.Parallel()
	forbidden := regexp.MustCompile(`(?i)<script>|<style|\sstyle=|\son[a-z]+=|javascript:|innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|@import|url\(`)
	address := regexp.MustCompile(`https?://[^\s"')]+|//[a-z0-9.-]+\.[a-z]{2,}/`)
	n := 0
	require.NoError(t, fs.WalkDir(os.DirFS("page"), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}

		n++
		text, err := os.ReadFile("page/" + path)
		require.NoError(t, err)
		require.Empty(t, forbidden.FindAllString(string(text), -1), path)

		for _, a := range address.FindAllString(string(text), -1) {
			require.Equal(t, "http://www.w3.org/2000/svg", a, path) // a name, not a place
		}

		require.NotContains(t, string(text), `href="/`, "%s: links are relative, for any prefix", path)
		return nil
	}))

	require.Equal(t, 9, n)
}

// TestMounted: below a prefix, in every way.
func TestMounted(t *testing.T) {
	t.Parallel()
	b := newFakeBus().live()
	own := newHandler(t, b, &status.Config{Token: token, Prefix: "/ops/pg"})
	stripped := http.StripPrefix("/ops/pg", newHandler(t, b, &status.Config{Token: token}))
	mux := http.NewServeMux()
	mux.Handle("/ops/pg/", own)
	mux.Handle("/ops/pg", own)

	for name, h := range map[string]http.Handler{"prefix": own, "stripped": stripped, "mux": mux} {
		for _, path := range []string{"/ops/pg/", "/ops/pg/status", "/ops/pg/metrics", "/ops/pg/livez", "/ops/pg/style.css"} {
			code, _, _ := get(t, h, path, bearer(token)...)
			require.Equal(t, http.StatusOK, code, "%s %s", name, path)
		}

		code, _, head := get(t, h, "/ops/pg?x=1")
		require.Equal(t, http.StatusSeeOther, code, name)
		require.Equal(t, "./pg/", head.Get("Location"), name)

		for _, path := range []string{"/status", "/ops/pgstatus", "/"} {
			code, _, _ := get(t, h, path, bearer(token)...)
			require.Equal(t, http.StatusNotFound, code, "%s %s", name, path)
		}
	}
}

func TestCrossOrigin(t *testing.T) {
	t.Parallel()
	h := newHandler(t, newFakeBus().live(), &status.Config{Token: token})
	for _, path := range []string{"/login", "/logout"} {
		w := httptest.NewRecorder()
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, strings.NewReader("token=x"))
		r.Header.Set("Origin", "https://elsewhere.example")
		h.ServeHTTP(w, r)
		require.Equal(t, http.StatusForbidden, w.Code, path)
		require.Empty(t, w.Result().Cookies())
	}
}

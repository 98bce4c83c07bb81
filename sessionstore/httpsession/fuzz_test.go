package httpsession_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/sessionstore"
	"github.com/pgcoherence/pgcoherence/sessionstore/httpsession"
)

// FuzzCookies sends any Cookie header: nobody is let in who has no token, and the response touches no cookie but those that
// it was sent.
func FuzzCookies(f *testing.F) {
	store, err := sessionstore.NewLocal(bus.NewLocal(), &sessionstore.Config[cart]{Logger: quiet})
	if err != nil {
		f.Fatal(err)
	}

	m, err := httpsession.New(store, &httpsession.Config{Logger: quiet})
	if err != nil {
		f.Fatal(err)
	}

	login, err := store.BeginLogin(f.Context(), "alice")
	if err != nil {
		f.Fatal(err)
	}

	token, _, err := store.Create(f.Context(), login, cart{}, nil)
	if err != nil {
		f.Fatal(err)
	}

	in := false
	handler := m.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		s, err := m.Get(r)
		in = err == nil && s != nil
	}))

	for _, seed := range []string{
		"", "__Host-session=x", "__Host-session-0123=" + strings.Repeat("A", 43), "__Host-session-0123=" + strings.Repeat("A", 43) + "~p",
		`a="b; c"; =; ;;__Host-session-`, "__Host-session-v=1.x; __Host-session-=", "__Host-session-a=\x01",
	} {
		f.Add(seed)
	}

	f.Fuzz(func(t *testing.T, header string) {
		r := httptest.NewRequest(http.MethodGet, "https://example.com/", http.NoBody)
		r.Header["Cookie"] = []string{header}
		w := httptest.NewRecorder()
		in = false
		handler.ServeHTTP(w, r)

		if in && !strings.Contains(header, token) {
			t.Fatalf("%q was let in", header)
		}

		for _, c := range w.Result().Cookies() {
			if !strings.Contains(header, c.Name) {
				t.Fatalf("the response sets %q, which the request did not send", c.Name)
			}
		}
	})
}

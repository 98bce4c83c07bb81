package kubernetes_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// bound is how old a read may be: the bus' StaleAfter of the manifest.
const bound = 3 * time.Second

// load is users who read and change their settings through the front, each with one session, and the oracle over what they
// are answered.
type load struct {
	front *front

	planned  atomic.Bool // what happens now is planned: every failure counts
	requests atomic.Int64
	writes   atomic.Int64
	failed   atomic.Int64 // in planned changes
	accident atomic.Int64 // when a node was lost
	lost     atomic.Int64 // sessions
	stale    atomic.Int64

	mu       sync.Mutex
	examples []string
}

// user is one browser.
type user struct {
	l       *load
	name    string
	client  *http.Client
	cookies map[string]string

	changes   int64       // that are known to have committed
	confirmed []committed // when each became known
	themes    int
}

type committed struct {
	changes int64
	at      time.Time
}

func (l *load) note(counter *atomic.Int64, format string, args ...any) {
	counter.Add(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.examples) < 20 {
		l.examples = append(l.examples, fmt.Sprintf(format, args...))
	}
}

func newUser(t *testing.T, l *load, number int) *user {
	t.Helper()
	u := &user{
		l: l, name: fmt.Sprintf("user%d", number), cookies: map[string]string{},
		client: &http.Client{
			Timeout: 15 * time.Second, Transport: &http.Transport{},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	code, body, err := u.send(t.Context(), "/signup", url.Values{"name": {u.name}, "password": {"correct horse"}})
	require.NoError(t, err)
	require.Equal(t, http.StatusSeeOther, code, body)
	return u
}

// send posts a form, or without one gets.
func (u *user) send(ctx context.Context, path string, form url.Values) (int, string, error) {
	method, body := http.MethodGet, io.Reader(http.NoBody)
	if form != nil {
		method, body = http.MethodPost, strings.NewReader(form.Encode())
	}

	r, err := http.NewRequestWithContext(ctx, method, u.l.front.URL+path, body)
	if err != nil {
		return 0, "", err
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}

	for name, value := range u.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value}) //nolint:gosec // a request's cookie
	}

	response, err := u.client.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()

	for _, c := range response.Cookies() {
		if u.cookies[c.Name] = c.Value; c.MaxAge < 0 {
			delete(u.cookies, c.Name)
		}
	}

	text, err := io.ReadAll(response.Body)
	return response.StatusCode, string(text), err
}

// run reads, and now and then writes, until ctx ends.
func (u *user) run(ctx context.Context) {
	defer u.client.CloseIdleConnections()
	for i := 0; ctx.Err() == nil; i++ {
		if i%10 == 0 {
			u.write()
		} else {
			u.read()
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// outcome sorts an answer. A request that a lost node had is an accident.
func (u *user) outcome(planned bool, what string, want, code int, body string, err error) bool {
	u.l.requests.Add(1)
	switch {
	case err == nil && code == want:
		return true
	case err == nil && (code == http.StatusUnauthorized || code == http.StatusSeeOther):
		u.l.note(&u.l.lost, "%s of %s: session lost: %d", what, u.name, code)
	case planned && u.l.planned.Load():
		u.l.note(&u.l.failed, "%s of %s: %d %.200s %v", what, u.name, code, body, err)
	default:
		u.l.accident.Add(1)
	}
	return false
}

func (u *user) write() {
	planned := u.l.planned.Load()
	u.themes++
	code, body, err := u.send(context.Background(), "/settings", url.Values{"theme": {[]string{"light", "dark"}[u.themes%2]}})
	if u.outcome(planned, "write", http.StatusSeeOther, code, body, err) {
		u.l.writes.Add(1)
		u.changes++ // a write whose answer was lost may add one more, which is no harm
		u.confirmed = append(u.confirmed, committed{u.changes, time.Now()})
	}
}

func (u *user) read() {
	planned, begin := u.l.planned.Load(), time.Now()
	code, body, err := u.send(context.Background(), "/api/me", nil)
	if !u.outcome(planned, "read", http.StatusOK, code, body, err) {
		return
	}

	var me struct {
		User, Pod string
		Changes   int64
	}
	if err := json.Unmarshal([]byte(body), &me); err != nil || me.User != u.name {
		u.l.note(&u.l.lost, "read of %s is of somebody else: %s", u.name, body)
		return
	}

	for len(u.confirmed) > 1 && begin.Sub(u.confirmed[1].at) > bound {
		u.confirmed = u.confirmed[1:]
	}

	if len(u.confirmed) > 0 && begin.Sub(u.confirmed[0].at) > bound && me.Changes < u.confirmed[0].changes {
		u.l.note(&u.l.stale, "%s read %d changes on %s, %d were committed %v before", u.name, me.Changes, me.Pod,
			u.confirmed[0].changes, begin.Sub(u.confirmed[0].at))
	}
}

package storetest

import (
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Site is a pod's application. Each request executes the commands in its parameter "do", in order, and responds with values
// as JSON.
type Site struct {
	web  *httptest.Server
	slow chan chan struct{} // requests in Wait; closing a request's channel lets it continue
}

// Serve serves the application until the end of the test.
func (s *Site) Serve(t testing.TB, handler http.Handler) {
	t.Helper()
	s.slow = make(chan chan struct{})
	s.web = httptest.NewServer(handler)
	t.Cleanup(s.web.Close)
}

// Wait is the command "wait": the request blocks until the function that SendSlow returns is called.
func (s *Site) Wait() {
	on := make(chan struct{})
	s.slow <- on
	<-on
}

func (s *Site) site() *Site { return s }

// Pod is a type that embeds a Site.
type Pod interface{ site() *Site }

// Browser keeps cookies and sends them to every pod.
type Browser struct {
	T      testing.TB
	Cookie *http.Cookie // the session cookie that was set last
	Query  string       // sent with every request

	others map[string]*http.Cookie // other session cookies, by name
	stamps map[string]string       // the cookies that stampName matches
}

// stampName matches the cookies that carry the positions of the browser's last writes.
var stampName = regexp.MustCompile(`-at[0-9]$`)

// Answer is a pod's response.
type Answer struct {
	Status int
	Values map[string]any
	Text   string
	Set    *http.Cookie // the last cookie that the response has set

	cookies []*http.Cookie
}

// Do sends a request with commands.
func (b *Browser) Do(p Pod, words string) Answer {
	b.T.Helper()
	a, err := b.Try(b.T.Context(), p, words)
	require.NoError(b.T, err)
	return a
}

// Fine is Do for a request that has to succeed.
func (b *Browser) Fine(p Pod, words string) Answer {
	b.T.Helper()
	a := b.Do(p, words)
	require.Equal(b.T, http.StatusOK, a.Status, a.Text)
	return a
}

// Try is Do for goroutines other than the test's.
func (b *Browser) Try(ctx context.Context, p Pod, words string) (a Answer, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, p.site().web.URL+"/?"+b.Query+"&do="+url.QueryEscape(words), http.NoBody)
	if err != nil {
		return a, err
	}

	for _, c := range b.Cookies() {
		r.AddCookie(&http.Cookie{Name: c.Name, Value: c.Value})
	}

	for name, value := range b.stamps {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}

	response, err := p.site().web.Client().Do(r)
	if err != nil {
		return a, err
	}
	defer response.Body.Close()

	body, err := io.ReadAll(response.Body)
	if err != nil {
		return a, err
	}

	a.Status, a.Text = response.StatusCode, string(body)
	if a.Status == http.StatusOK {
		if err := json.Unmarshal(body, &a.Values); err != nil {
			return a, err
		}
	}

	a.cookies = response.Cookies()
	for _, c := range a.cookies { // the last one counts
		if !stampName.MatchString(c.Name) {
			a.Set = c
		}
	}

	b.Receive(a)
	return a, nil
}

// Receive stores the cookies of a response, for example of one that arrives late or belongs to another tab.
func (b *Browser) Receive(a Answer) {
	for _, c := range a.cookies {
		switch {
		case stampName.MatchString(c.Name):
			if b.stamps == nil {
				b.stamps = map[string]string{}
			}
			b.stamps[c.Name] = c.Value
		case c.MaxAge < 0:
			delete(b.others, c.Name)
			if b.Cookie != nil && b.Cookie.Name == c.Name {
				b.Cookie = nil
			}
		default:
			if b.others == nil {
				b.others = map[string]*http.Cookie{}
			}
			if b.Cookie != nil {
				b.others[b.Cookie.Name] = b.Cookie
			}

			delete(b.others, c.Name)
			b.Cookie = c
		}
	}
}

// Cookies returns the browser's session cookies.
func (b *Browser) Cookies() (all []*http.Cookie) {
	if b.Cookie != nil {
		all = append(all, b.Cookie)
	}
	for _, c := range b.others {
		all = append(all, c)
	}
	return all
}

// Copied returns another browser with the same cookies.
func (b *Browser) Copied() *Browser {
	return &Browser{b.T, b.Cookie, b.Query, maps.Clone(b.others), maps.Clone(b.stamps)}
}

// SendSlow sends a request that blocks in its handler after the commands before. It executes the rest when letGo is called.
func (b *Browser) SendSlow(p Pod, before, after string) (letGo func() Answer) {
	b.T.Helper()

	type result struct {
		a   Answer
		err error
	}

	done := make(chan result, 1)
	ctx := b.T.Context()
	go func() {
		a, err := b.Try(ctx, p, before+" wait "+after)
		done <- result{a, err}
	}()

	var on chan struct{}
	select {
	case on = <-p.site().slow:
	case <-time.After(patience):
		require.Fail(b.T, "request has not arrived")
	}

	return func() Answer {
		b.T.Helper()
		close(on)
		r := <-done
		require.NoError(b.T, r.err)
		return r.a
	}
}

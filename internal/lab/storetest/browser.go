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

// Site is a pod's application. Each request does what the words of its "do" say, in order, and answers values as JSON.
type Site struct {
	web  *httptest.Server
	slow chan chan struct{} // requests that wait, each to be let go on
}

// Serve serves the application until the end of the test.
func (s *Site) Serve(t testing.TB, handler http.Handler) {
	t.Helper()
	s.slow = make(chan chan struct{})
	s.web = httptest.NewServer(handler)
	t.Cleanup(s.web.Close)
}

// Wait is what the word "wait" does: the request stops there until it is let go on, see SendSlow.
func (s *Site) Wait() {
	on := make(chan struct{})
	s.slow <- on
	<-on
}

func (s *Site) site() *Site { return s }

// Pod is anything that a Site is embedded in.
type Pod interface{ site() *Site }

// Browser keeps cookies and shows them to whichever pod it is sent to.
type Browser struct {
	T      testing.TB
	Cookie *http.Cookie // of the session, the last that was set
	Query  string       // sent with every request

	others map[string]*http.Cookie // of sessions as well, by name
	stamps map[string]string       // cookies beside it, see stampName
}

// stampName are the cookies by which a browser tells a pod what it has seen written.
var stampName = regexp.MustCompile(`-at[0-9]$`)

// Answer is what a pod has answered.
type Answer struct {
	Status int
	Values map[string]any
	Text   string
	Set    *http.Cookie // the last that the answer has set

	cookies []*http.Cookie
}

// Do sends a request that does some words.
func (b *Browser) Do(p Pod, words string) Answer {
	b.T.Helper()
	a, err := b.Try(b.T.Context(), p, words)
	require.NoError(b.T, err)
	return a
}

// Fine is Do for what must be answered with values.
func (b *Browser) Fine(p Pod, words string) Answer {
	b.T.Helper()
	a := b.Do(p, words)
	require.Equal(b.T, http.StatusOK, a.Status, a.Text)
	return a
}

// Try is Do for other goroutines than the test's.
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

// Receive keeps the cookies of an answer: of one that was sent for another tab, or arrives late.
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

// Cookies are those of sessions that the browser has.
func (b *Browser) Cookies() (all []*http.Cookie) {
	if b.Cookie != nil {
		all = append(all, b.Cookie)
	}
	for _, c := range b.others {
		all = append(all, c)
	}
	return all
}

// Copied is another tab, with the same cookies.
func (b *Browser) Copied() *Browser {
	return &Browser{b.T, b.Cookie, b.Query, maps.Clone(b.others), maps.Clone(b.stamps)}
}

// SendSlow sends a request that stops in its handler; the rest of the words is done once letGo is called.
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

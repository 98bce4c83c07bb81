package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"time"

	"github.com/pgcoherence/pgcoherence/examples/internal/demo"
)

// browserTimeout is longer than a pod takes for anything.
const browserTimeout = confirmTimeout + 5*time.Second

// browser is what somebody has on one device: cookies, and manners like those of a real one.
type browser struct {
	name      string
	stage     *stage
	front     *url.URL
	http      *http.Client
	transport *http.Transport
	last      string // the session cookie that a response has set last, as "name=value"
}

func (s *stage) browser(name string) *browser {
	var trusted []byte
	if s.cert != nil {
		trusted = s.cert.Cert
	}
	jar, _ := cookiejar.New(nil)         // it never fails
	front, _ := url.Parse(s.front.url()) // our own
	transport := newTransport(trusted)
	return &browser{name: name, stage: s, front: front, transport: transport, http: &http.Client{
		Transport: transport, Jar: jar,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // the story goes step by step
	}}
}

func (b *browser) close() { b.transport.CloseIdleConnections() }

func (b *browser) agent() string { return "browser on the " + b.name }

// token is the session cookie that the browser has now, as "name=value".
func (b *browser) token() string {
	for _, c := range b.http.Jar.Cookies(b.front) {
		if b.stage.isSession(c.Name) {
			return c.Name + "=" + c.Value
		}
	}
	return ""
}

// isSession reports whether a cookie is one of sessions. Its name ends in eight characters that depend on the token.
func (s *stage) isSession(name string) bool {
	prefix := "__Host-session-"
	if s.plain {
		prefix = "session-"
	}
	rest, ok := strings.CutPrefix(name, prefix)
	return ok && len(rest) == 8
}

// answer is what came back.
type answer struct {
	status   int
	pod      string
	body     string
	location string
	cookie   *http.Cookie // of the session, if it was set
}

func (a *answer) text() string { return strings.TrimSpace(a.body) }

func (b *browser) get(ctx context.Context, path string) (*answer, error) {
	return b.send(ctx, http.MethodGet, path, nil, "")
}

func (b *browser) post(ctx context.Context, path string, form url.Values) (*answer, error) {
	return b.send(ctx, http.MethodPost, path, form, b.front.String())
}

// postFrom is what a page of another site makes this browser send.
func (b *browser) postFrom(ctx context.Context, origin, path string) (*answer, error) {
	return b.send(ctx, http.MethodPost, path, nil, origin)
}

// send sends a request to the front, or wherever an absolute address leads.
func (b *browser) send(ctx context.Context, method, path string, form url.Values, origin string) (*answer, error) {
	ctx, cancel := context.WithTimeout(ctx, browserTimeout)
	defer cancel()
	to, err := b.front.Parse(path)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, method, to.String(), strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", b.agent())
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Origin", origin)
	}
	response, err := b.http.Do(req)
	if err != nil {
		return nil, withoutQuery(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return nil, err
	}
	a := &answer{status: response.StatusCode, pod: response.Header.Get(podHeader), body: string(body), location: response.Header.Get("Location")}
	for _, c := range response.Cookies() {
		if b.stage.isSession(c.Name) && c.MaxAge >= 0 {
			a.cookie, b.last = c, c.Name+"="+c.Value
		}
	}
	return a, nil
}

// withoutQuery keeps codes and states out of errors.
func withoutQuery(err error) error {
	var failed *url.Error
	if errors.As(err, &failed) {
		return fmt.Errorf("%s: %w", failed.Op, failed.Err)
	}
	return err
}

func (b *browser) login(ctx context.Context, name, password string) (*answer, error) {
	return b.post(ctx, "/login", url.Values{"name": {name}, "password": {password}})
}

// me is whom the next pod takes this browser for; a zero one if for nobody.
func (b *browser) me(ctx context.Context) (got me, pod string, err error) {
	a, err := b.get(ctx, "/me")
	if err != nil {
		return got, "", err
	}
	if a.status == http.StatusOK {
		err = json.Unmarshal([]byte(a.body), &got)
	}
	return got, a.pod, err
}

func (b *browser) devices(ctx context.Context) (all []device, err error) {
	a, err := b.get(ctx, "/devices")
	if err != nil {
		return nil, err
	}
	if a.status != http.StatusOK {
		return nil, fmt.Errorf("devices: %d: %s", a.status, a.text())
	}
	err = json.Unmarshal([]byte(a.body), &all)
	return all, err
}

// present shows a pod a cookie, past the front, and returns the status with which it lets it in.
func (b *browser) present(ctx context.Context, p *demo.Process, cookie string) (status int, err error) {
	ctx, cancel := context.WithTimeout(ctx, browserTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.Addr+"/me", http.NoBody)
	if err != nil {
		return 0, err
	}
	req.Header.Set("Cookie", cookie)
	response, err := b.transport.RoundTrip(req)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	return response.StatusCode, nil
}

// trip is a login through the provider.
type trip struct {
	begun, ended string // pods
	callback     string // where the provider sends the browser back to
	answer       *answer
}

// throughProvider is the whole of it.
func (b *browser) throughProvider(ctx context.Context, as string) (*trip, error) {
	t, err := b.untilCallback(ctx, as)
	if err != nil {
		return nil, err
	}
	if t.answer, err = b.get(ctx, t.callback); err != nil {
		return nil, err
	}
	t.ended = t.answer.pod
	return t, nil
}

// untilCallback is all but the last step. As is whose button is pressed; empty: "rather not say".
func (b *browser) untilCallback(ctx context.Context, as string) (*trip, error) {
	begun, err := b.post(ctx, "/login/provider", nil)
	if err != nil {
		return nil, err
	}
	if begun.status != http.StatusSeeOther {
		return nil, fmt.Errorf("login through the provider: %d: %s", begun.status, begun.text())
	}
	page, err := b.get(ctx, begun.location)
	if err != nil {
		return nil, err
	}
	if page.status != http.StatusOK || !strings.Contains(page.body, "Alice Liddell") {
		return nil, fmt.Errorf("the provider's page: %d: %s", page.status, page.text())
	}
	to, err := url.Parse(begun.location)
	if err != nil {
		return nil, errors.New("the provider's address cannot be read")
	}
	form := to.Query() // the page has them as hidden fields
	form.Set("person", as)
	provider := to.Scheme + "://" + to.Host
	back, err := b.send(ctx, http.MethodPost, provider+"/authorize", form, provider)
	if err != nil {
		return nil, err
	}
	if back.status != http.StatusSeeOther {
		return nil, fmt.Errorf("the provider: %d: %s", back.status, back.text())
	}
	return &trip{begun: begun.pod, callback: back.location}, nil
}

package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/pgcoherence/pgcoherence/examples/internal/demo"
)

// podNames are the pods'.
var podNames = []string{"A", "B", "C"}

// people have a password here and an account at the provider.
var people = []person{{"alice", "Alice Liddell"}, {"bob", "Bob Cratchit"}}

const readyTimeout = 30 * time.Second

// stage is everything that runs: the provider, the pods, and the front before them.
type stage struct {
	plain     bool
	cert      *certificate // nil: plain HTTP
	front     *front
	provider  *demo.Process
	pods      []*demo.Process
	passwords map[string]string
}

// setStage starts everything and returns when every pod is in sync.
func setStage(ctx context.Context, db *demo.Database, o options) (_ *stage, err error) {
	s := &stage{plain: o.plain, passwords: map[string]string{}}
	if !o.plain {
		if s.cert, err = newCertificate(); err != nil {
			return nil, err
		}
	}
	if s.front, err = listenFront(ctx, s.cert); err != nil {
		return nil, err
	}
	if err := s.start(ctx, db, demo.Locked(o.log)); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *stage) start(ctx context.Context, db *demo.Database, log io.Writer) (err error) {
	cfg := clientConfig{
		ClientID: "three pods", ClientSecret: rand.Text() + rand.Text(), RedirectURI: s.front.url() + callbackPath,
	}
	if s.cert != nil {
		cfg.TrustedCert = s.cert.Cert
	}
	s.provider, err = startChild(ctx, "provider", childConfig{Provider: &providerConfig{
		Cert: s.cert, ClientID: cfg.ClientID, ClientSecret: cfg.ClientSecret, RedirectURI: cfg.RedirectURI, People: people,
	}}, log)
	if err != nil {
		return err
	}
	cfg.Issuer = publicURL(s.cert, s.provider.Addr)
	for _, who := range people {
		s.passwords[who.Name] = strings.ToLower(rand.Text()[:12])
		if err := insertMember(ctx, db.Pool, who.Name, who.FullName, s.passwords[who.Name], cfg.Issuer); err != nil {
			return err
		}
	}
	for _, name := range podNames {
		p, err := startChild(ctx, "pod "+name, childConfig{Pod: &podConfig{
			Name: name, DSN: db.DSN, Plain: s.plain, Client: cfg,
		}}, log)
		if err != nil {
			return err
		}
		s.pods = append(s.pods, p)
	}
	s.front.start(s.pods)
	return s.awaitReady(ctx)
}

// awaitReady waits until every pod says that it is ready.
func (s *stage) awaitReady(ctx context.Context) error {
	transport := newTransport(nil)
	defer transport.CloseIdleConnections()
	asking := &http.Client{Transport: transport, Timeout: time.Second}
	for _, p := range s.pods {
		for end := time.Now().Add(readyTimeout); !ready(ctx, asking, p); {
			if time.Now().After(end) {
				return fmt.Errorf("%s is not ready after %s", p.Name, readyTimeout)
			}
			select {
			case <-p.Exited():
				return fmt.Errorf("%s has ended", p.Name)
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(10 * time.Millisecond):
			}
		}
	}
	return nil
}

func ready(ctx context.Context, asking *http.Client, p *demo.Process) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.Addr+"/ready", http.NoBody)
	if err != nil {
		return false
	}
	response, err := asking.Do(req)
	if err != nil {
		return false
	}
	defer response.Body.Close()
	return response.StatusCode == http.StatusOK
}

func (s *stage) close() error {
	all := s.pods
	if s.provider != nil {
		all = append(all, s.provider)
	}
	demo.StopAll(all)
	return s.front.close()
}

func (s *stage) introduce(out io.Writer, db *demo.Database) {
	fmt.Fprintf(out, "%d pods, a provider, one Postgres %s (way: %s)\n\n", len(s.pods), db.Version(), db.Server.Kind())
	for _, p := range append(s.pods[:len(s.pods):len(s.pods)], s.provider) {
		fmt.Fprintf(out, "   %s: process %d, %s\n", p.Name, p.PID(), p.Addr)
	}
	fmt.Fprintf(out, "   round robin before the pods: %s\n", s.front.url())
}

// invite says what somebody with a browser can do.
func (s *stage) invite(out io.Writer) {
	fmt.Fprintf(out, "\nEverything stays up until Ctrl-C. Open %s in a browser, and in another one", s.front.url())
	if !s.plain {
		fmt.Fprint(out, " (it will warn of a certificate that was signed by itself; -http does without)")
	}
	fmt.Fprint(out, ".\nLog in as\n\n")
	for _, who := range people {
		fmt.Fprintf(out, "   %-8s password %s\n", who.Name, s.passwords[who.Name])
	}
	fmt.Fprint(out, "\nor through the provider. Then end one browser's session from the other, and watch its page.\n")
}

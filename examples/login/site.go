package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/examples/internal/demo"
	"github.com/pgcoherence/pgcoherence/sessionstore"
)

// podHeader names the pod that has served a response. A request that has it goes to that pod, as a load balancer's health
// checks do.
const podHeader = "X-Pod"

// site is the pods and the address before them.
type site struct {
	url       string
	pods      []*pod
	passwords map[string]string
	server    *http.Server
	next      atomic.Uint64
	serving   sync.WaitGroup
}

// openSite prepares the database, as a deployment does, and starts the pods. It returns when all are in sync.
func openSite(ctx context.Context, db *demo.Database, log *slog.Logger) (_ *site, err error) {
	s := &site{passwords: map[string]string{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if err := cmp.Or(bus.Migrate(ctx, db.Pool, &bus.MigrateConfig{Logger: demo.Quiet()}),
		sessionstore.Migrate(ctx, db.Pool, &sessionstore.MigrateConfig{Logger: demo.Quiet()})); err != nil {
		return nil, err
	}
	if _, err := db.Pool.Exec(ctx, userSQL); err != nil {
		return nil, err
	}
	for name, fullName := range map[string]string{"alice": "Alice Liddell", "bob": "Bob Cratchit"} {
		s.passwords[name] = strings.ToLower(rand.Text()[:12])
		if err := insertMember(ctx, db.Pool, name, fullName, s.passwords[name]); err != nil {
			return nil, err
		}
	}

	for _, name := range []string{"A", "B", "C"} {
		p, err := openPod(ctx, name, db.DSN, log.With(slog.String("pod", name)))
		if err != nil {
			return nil, fmt.Errorf("pod %s: %w", name, err)
		}
		s.pods = append(s.pods, p)
	}
	if err := s.listen(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// listen serves the pods in turn.
func (s *site) listen(ctx context.Context) error {
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	_, port, _ := net.SplitHostPort(l.Addr().String()) // the listener's own
	s.url = "http://localhost:" + port

	byName := map[string]http.Handler{}
	var handlers []http.Handler
	for _, p := range s.pods {
		handlers = append(handlers, p.handler())
		byName[p.name] = handlers[len(handlers)-1]
	}
	s.server = &http.Server{
		ReadHeaderTimeout: 5 * time.Second,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			h, ok := byName[r.Header.Get(podHeader)]
			if !ok {
				h = handlers[s.next.Add(1)%uint64(len(handlers))]
			}
			h.ServeHTTP(w, r)
		}),
	}
	s.serving.Go(func() { _ = s.server.Serve(l) }) // it ends with close
	return nil
}

// close ends the streams and requests first, then the pods.
func (s *site) close() error {
	var errs []error
	if s.server != nil {
		errs = append(errs, s.server.Close())
		s.serving.Wait()
	}
	for _, p := range s.pods {
		errs = append(errs, p.close())
	}
	return errors.Join(errs...)
}

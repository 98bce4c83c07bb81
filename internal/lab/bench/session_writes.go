package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"

	"github.com/alexedwards/scs/pgxstore"
	"github.com/alexedwards/scs/v2"

	"github.com/pgcoherence/pgcoherence/sessionstore"
	"github.com/pgcoherence/pgcoherence/sessionstore/scsstore"
)

const (
	mergeWriters = 12
	mergeRounds  = 25
	readWrites   = 300
)

// writeSide is one store of scs on two pods, as a program uses it.
type writeSide struct {
	name     string
	managers [2]*scs.SessionManager
	handlers [2]http.Handler
	barrier  *sync.WaitGroup // that requests wait at between reading and storing; nil: none
}

// startWriteSides makes ours and pgxstore.
func startWriteSides(pods []*sessionPod) (sides []*writeSide, closeAll func() error, err error) {
	ours, theirs := &writeSide{name: "ours"}, &writeSide{name: "pgxstore"}
	var closers []func() error
	closeAll = func() error {
		var errs []error
		for _, c := range closers {
			errs = append(errs, c())
		}
		return errors.Join(errs...)
	}
	for i, p := range pods[:2] {
		ours.managers[i], theirs.managers[i] = scs.New(), scs.New()
		store, err := scsstore.New(p.bus.Postgres, p.pool, ours.managers[i], &scsstore.Config{
			Sessions: sessionstore.Config[scsstore.Data]{Name: "scs writes", SweepInterval: -1, Logger: warnings()},
		})
		if err != nil {
			return nil, closeAll, errors.Join(err, closeAll())
		}

		closers = append(closers, store.Close)
		theirs.managers[i].Store = pgxstore.NewWithCleanupInterval(p.pool, 0)
		ours.handlers[i] = store.Handler(ours.managers[i].LoadAndSave(ours.handler(i)))
		theirs.handlers[i] = theirs.managers[i].LoadAndSave(theirs.handler(i))
	}

	return []*writeSide{ours, theirs}, closeAll, nil
}

// handler stores a value, if the request says so, and shows one.
func (s *writeSide) handler(i int) http.Handler {
	m := s.managers[i]
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if key := r.URL.Query().Get("put"); key != "" {
			if s.barrier != nil {
				s.barrier.Done()
				s.barrier.Wait()
			}
			m.Put(r.Context(), key, r.URL.Query().Get("value"))
		}
		fmt.Fprint(w, m.GetString(r.Context(), r.URL.Query().Get("get")))
	})
}

// visitor is a browser.
type visitor struct{ cookies map[string]string }

func (v *visitor) ask(ctx context.Context, h http.Handler, query string) (string, error) {
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/?"+query, http.NoBody)
	for name, value := range v.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		return "", fmt.Errorf("status %d: %s", w.Code, w.Body)
	}
	for _, c := range w.Result().Cookies() {
		v.cookies[c.Name] = c.Value
	}
	return w.Body.String(), nil
}

func (v *visitor) copied() *visitor {
	c := &visitor{cookies: map[string]string{}}
	for name, value := range v.cookies {
		c.cookies[name] = value
	}
	return c
}

// measureSessionWrites counts what is kept of values that parallel requests of one browser store on two pods, and how
// often a request misses what the one before has stored on the other pod.
func measureSessionWrites(ctx context.Context, r *report, pods []*sessionPod) (err error) {
	sides, closeAll, err := startWriteSides(pods)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeAll()) }()

	r.row()
	r.row("writes of one browser on two pods", fmt.Sprintf("of %d values at once, the fewest kept", mergeWriters),
		fmt.Sprintf("of %d reads, misses", readWrites))
	for _, s := range sides {
		kept, err := s.mergeKept(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		misses, err := s.readMisses(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		r.row(s.name, kept, misses)
		suffix := ""
		if s.name != "ours" {
			suffix = "." + s.name
		}
		r.result("session.merge_kept."+strconv.Itoa(mergeWriters)+suffix, float64(kept))
		r.result("session.read_your_writes_misses"+suffix, float64(misses))
	}
	return nil
}

// mergeKept is the least of all rounds.
func (s *writeSide) mergeKept(ctx context.Context) (least int, err error) {
	least = mergeWriters
	for range mergeRounds {
		v := &visitor{cookies: map[string]string{}}
		if _, err := v.ask(ctx, s.handlers[0], "put=first&value=1"); err != nil {
			return 0, err
		}
		s.barrier = &sync.WaitGroup{}
		s.barrier.Add(mergeWriters)
		err := together(mergeWriters, func(i int) error {
			_, err := v.copied().ask(ctx, s.handlers[i%2], fmt.Sprintf("put=k%d&value=1", i))
			return err
		})
		s.barrier = nil
		if err != nil {
			return 0, err
		}

		kept := 0
		for i := range mergeWriters {
			value, err := s.stored(ctx, v, "k"+strconv.Itoa(i))
			if err != nil {
				return 0, err
			}
			if value == "1" {
				kept++
			}
		}
		least = min(least, kept)
	}
	return least, nil
}

// stored is what the database holds: a pod that wrote last has it in memory, or asks for it.
func (s *writeSide) stored(ctx context.Context, v *visitor, key string) (string, error) {
	var last string
	for _, h := range s.handlers {
		value, err := v.copied().ask(ctx, h, "get="+key)
		if err != nil {
			return "", err
		}
		if value != "" {
			last = value
		}
	}
	return last, nil
}

func (s *writeSide) readMisses(ctx context.Context) (misses int, err error) {
	v := &visitor{cookies: map[string]string{}}
	if _, err := v.ask(ctx, s.handlers[0], "put=flash&value=0"); err != nil {
		return 0, err
	}

	for i := range readWrites {
		here, there := s.handlers[i%2], s.handlers[(i+1)%2]
		if _, err := v.ask(ctx, there, "get=flash"); err != nil { // it has the session in memory
			return 0, err
		}

		text := strconv.Itoa(i)
		if _, err := v.ask(ctx, here, "put=flash&value="+text); err != nil {
			return 0, err
		}

		got, err := v.ask(ctx, there, "get=flash")
		if err != nil {
			return 0, err
		}
		if got != text {
			misses++
		}
	}

	return misses, nil
}
